"""What is wrong with the name of a part, or with one of its options."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from .errors import UsageError, did_you_mean
from .hints import UNIONS, Misfit, adapt, is_path, is_plain, refusal
from .parts import (
    ELSEWHERE,
    PROVIDED,
    SLOTS,
    Option,
    find_class,
    import_path,
    is_abstract,
    known_parts,
    options_of,
)


def check_part(slot: str, name: str, shown: str) -> type | None:
    """The class by this name; :class:`UsageError` where none may stand in this slot.

    ``None`` where the part is written out in YAML, of which only the parser can tell.
    """
    if name.startswith("{") or Path(name).is_file():
        return None
    known, base = known_parts(slot), SLOTS[slot].base
    module, dot, _ = name.rpartition(".")
    kind = find_class(name) if dot else known.get(name)
    listed = ", ".join(known)
    refuse_elsewhere(name, kind, shown)
    if kind is None and not dot:
        hint = did_you_mean(name, known, ", or name a class of yours by its import path")
        raise UsageError(f"{shown}: there is no {slot} {name!r}; choose from {listed}{hint}")
    if kind is None:
        raise UsageError(f"{shown}: {_why_not(module, name)}")
    if not issubclass(kind, base):
        raise UsageError(
            f"{shown}: {name} is not a {base.__name__}; choose from {listed}, or derive yours "
            f"from {import_path(base)}"
        )
    if kind is base or is_abstract(kind):
        raise UsageError(f"{shown}: {name} leaves something undefined; choose from {listed}")
    return kind


def refuse_elsewhere(name: str, kind: type | None, shown: str) -> None:
    """:class:`UsageError` for a part of this package that is for Python alone."""
    ours = kind is None or kind.__module__.startswith("pyro_vae.")
    if ours and name.rpartition(".")[2] in ELSEWHERE:
        short = name.rpartition(".")[2]
        raise UsageError(f"{shown}: {short} is not for the command line: {ELSEWHERE[short]}")


def check_option(path: str, kind: type | None, name: str, shown: str) -> Option:
    """The option of the part at this path, as ``posterior`` or ``posterior.base``.

    Raises :class:`UsageError` where the part has none by that name, or is not known yet.
    """
    if name in PROVIDED:
        cure = "give --latent" if name == "latent" else "it follows from the data and --latent"
        raise UsageError(f"{shown} is filled in: {cure}")
    if kind is None:
        parts = known_parts(path) if path in SLOTS else {}
        having = [part for part, known in parts.items() if name in options_of(known)]
        if having or not parts:
            named = " or ".join(having) or "NAME"
            raise UsageError(f"{shown}: name the {path} first, --{path} {named}")
        listed = "; ".join(_listed(path, part) for part in parts.values() if options_of(part))
        raise UsageError(f"{shown} is not an option of any {path}; {listed}")
    options = options_of(kind)
    if name not in options:
        raise UsageError(f"{shown} is not an option; {_listed(path, kind)}")
    return options[name]


def check_value(hint: Any, value: Any, shown: str, typed: bool) -> None:
    """Raise :class:`UsageError` where a value is not of its option's type."""
    if hint is None:
        return
    if get_origin(hint) is dict and not isinstance(value, Mapping) and value.strip()[:1] != "{":
        raise UsageError(refusal(shown, hint, value))
    path = str(value)
    named = not is_plain(hint) and get_origin(hint) in UNIONS and is_path(path)
    if named and find_class(path) is None:
        raise UsageError(f"{shown}: {_why_not(*path.rpartition('.')[::2])}")
    try:
        adapt(hint, value, typed)
    except Misfit:
        raise UsageError(refusal(shown, hint, value)) from None


def slot_of(hint: Any) -> str | None:
    """The slot of whose kind an option's part is; ``None`` where it takes no part.

    >>> slot_of(type[SLOTS["posterior"].base]), slot_of(int)
    ('posterior', None)
    """
    for kind in (hint, *get_args(hint)):
        for slot, found in SLOTS.items():
            if kind is found.base:
                return slot
    return None


def _listed(path: str, kind: type) -> str:
    names = ", ".join(f"--{path}.{name}" for name in options_of(kind))
    return f"{kind.__name__} takes {names or 'none'}"


def _why_not(module: str, name: str) -> str:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            return (
                f"there is no module {error.name} to import {name} from; PYTHONPATH=. adds the "
                "present folder"
            )
        return f"{module} cannot be imported: {error}"
    except ImportError as error:
        return f"{module} cannot be imported: {error}"
    return f"{module} has no class {name.rpartition('.')[2]}"
