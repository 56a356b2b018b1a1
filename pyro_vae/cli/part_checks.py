"""What is wrong with the name of a part, or with one of its options."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from .errors import UsageError, did_you_mean
from .hints import Misfit, adapt, is_plain, refusal
from .parts import PROVIDED, SLOTS, find_class, is_abstract, known_parts, options_of


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
    if kind is None and not dot:
        hint = did_you_mean(name, known, ", or name a class of yours by its import path")
        raise UsageError(f"{shown}: there is no {slot} {name!r}; choose from {listed}{hint}")
    if kind is None:
        raise UsageError(f"{shown}: {_why_not(module, name)}")
    if not issubclass(kind, base):
        raise UsageError(
            f"{shown}: {name} is not a {base.__name__}; choose from {listed}, or derive yours "
            f"from pyro_vae.{base.__module__.split('.')[1]}.{base.__name__}"
        )
    if kind is base or is_abstract(kind):
        raise UsageError(f"{shown}: {name} leaves something undefined; choose from {listed}")
    return kind


def check_part_option(
    slot: str, kind: type | None, name: str, value: Any, shown: str, typed: bool
) -> None:
    """Raise :class:`UsageError` where the part in this slot has no such option, or value."""
    if name in PROVIDED:
        cure = "give --latent" if name == "latent" else "it follows from the data and --latent"
        raise UsageError(f"{shown} is filled in: {cure}")
    if kind is None:
        parts = known_parts(slot)
        having = [part for part, known in parts.items() if name in options_of(known)]
        if having:
            raise UsageError(f"{shown}: name the {slot} first, --{slot} {' or '.join(having)}")
        listed = "; ".join(_listed(slot, part) for part in parts.values() if options_of(part))
        raise UsageError(f"{shown} is not an option of any {slot}; {listed}")
    options = options_of(kind)
    name, inner, _ = name.partition(".")
    if inner and name in options and not is_plain(options[name].hint):
        return  # an option of a part within the part: the parser's own report has to do
    if inner or name not in options:
        raise UsageError(f"{shown} is not an option; {_listed(slot, kind)}")
    check_value(options[name].hint, value, shown, typed)


def check_value(hint: Any, value: Any, shown: str, typed: bool) -> None:
    """Raise :class:`UsageError` where a value is not of its option's type."""
    if hint is None:
        return
    try:
        adapt(hint, value, typed)
    except Misfit:
        raise UsageError(refusal(shown, hint, value)) from None


def _listed(slot: str, kind: type) -> str:
    names = ", ".join(f"--{slot}.{name}" for name in options_of(kind))
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
