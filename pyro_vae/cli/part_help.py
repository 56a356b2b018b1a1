"""``--prior.help StandardNormal``: the page of a part."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import UsageError, did_you_mean
from .help import part_page
from .parts import SLOTS, find_class, known_parts, typed


def asked_page(words: Sequence[str]) -> str | None:
    """The page that ``--SLOT.help NAME`` asks for; ``None`` where none is asked for.

    Without a NAME, that of the part which is used where none is named.
    """
    for place, word in enumerate(words):
        option, _, name = word.partition("=")
        path, _, last = option.removeprefix("--").rpartition(".")
        slot = path.rpartition(".")[2]
        if last != "help" or slot not in SLOTS or path != typed(slot):
            continue
        following = words[place + 1 : place + 2]
        if not name and following and not following[0].startswith("-"):
            name = following[0]
        return part_page(slot, _named(slot, name))
    return None


def _named(slot: str, name: str) -> type:
    known = known_parts(slot)
    kind = known.get(name or next(iter(known))) or find_class(name)
    if kind is None or not issubclass(kind, SLOTS[slot].base):
        hint = did_you_mean(name, known)
        raise UsageError(
            f"--{typed(slot)}.help: there is no {slot} {name!r}; choose from {', '.join(known)}"
            f"{hint}"
        )
    return kind
