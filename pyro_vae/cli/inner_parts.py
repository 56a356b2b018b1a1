"""Parts within parts that nobody named: the default stands there, as it does outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .part_checks import slot_of
from .parts import SLOTS, default_part, find_class, known_parts, options_of
from .yaml_file import read_yaml


def with_inner_parts(words: Sequence[str]) -> list[str]:
    """The words, and the default of each part that a named one cannot do without.

    Raises :class:`UsageError` where ``--config`` names no file of options.

    >>> with_inner_parts(["--posterior", "SemiAmortized"])[2:]
    ['--posterior.base', 'pyro_vae.posteriors.DiagonalNormal']
    """
    file = _typed(words, "config")
    options = read_yaml(Path(file), "--config: ") if file else {}
    added: list[str] = []
    for slot in SLOTS:
        for path, name in _left_open(words, slot, slot, options.get(slot)):
            added += [f"--{path}", name]
    return [*words, *added]


def _left_open(words: Sequence[str], path: str, slot: str, spec: Any) -> Iterator[tuple[str, str]]:
    """``(path, class)`` of each part that this one needs, and neither words nor file name."""
    spec = spec if isinstance(spec, Mapping) else {}
    name = _typed(words, path)
    in_file, kind = _kind(slot, spec.get("class_path")), _kind(slot, name)
    kind = kind or (in_file if name is None else None)
    # The options of another class are dropped with it.
    given = (spec.get("init_args") or {}) if kind is in_file else {}
    for option, found in options_of(kind).items() if kind else ():
        inner = slot_of(found.hint)
        default = default_part(inner) if inner and found.required else None
        if inner is None or default is None:
            continue
        here = f"{path}.{option}"
        if _typed(words, here) is None and given.get(option) is None:
            yield here, default["class_path"]
        else:
            yield from _left_open(words, here, inner, given.get(option))


def _kind(slot: str, name: Any) -> type | None:
    """The part by this name; ``None`` where there is none, which others tell."""
    if not isinstance(name, str):
        return None
    kind = known_parts(slot).get(name) or find_class(name)
    return kind if kind is not None and issubclass(kind, SLOTS[slot].base) else None


def _typed(words: Sequence[str], path: str) -> str | None:
    """The value that the words give to an option, the last of them."""
    value = None
    for place, word in enumerate(words):
        name, equals, rest = word.partition("=")
        if name == f"--{path}":
            value = rest if equals else next(iter(words[place + 1 : place + 2]), None)
    return value
