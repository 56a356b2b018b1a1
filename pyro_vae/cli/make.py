"""Parts from what a configuration says of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import UsageError
from .part_checks import refuse_elsewhere
from .parts import SLOTS, find_class, is_abstract, known_parts


def part(slot: str, spec: Mapping[str, Any], **provided: Any) -> Any:
    """An object of the class that ``spec`` names, given what it asks for among ``provided``."""
    kind = class_of(slot, spec)
    try:
        return _made(kind, spec, provided)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--{slot} {kind.__name__}: {error}") from error


def class_of(slot: str, spec: Mapping[str, Any]) -> Any:
    """The class that a configuration names for a part, if it is one."""
    path, base, known = spec["class_path"], SLOTS[slot].base, known_parts(slot)
    kind = find_class(path)
    if kind is None:
        raise UsageError(f"--{slot}: there is no class {path}")
    refuse_elsewhere(kind.__name__, kind, f"--{slot}")
    ours = kind.__module__.startswith("pyro_vae.")
    if not issubclass(kind, base) or is_abstract(kind) or (ours and kind.__name__ not in known):
        raise UsageError(f"--{slot}: {kind.__name__} cannot stand here; choose from {_list(known)}")
    return kind


def foreign_classes(config: Any) -> Iterator[str]:
    """Import paths in a configuration that lie outside this package."""
    if isinstance(config, Mapping):
        path = config.get("class_path")
        if isinstance(path, str) and not path.startswith("pyro_vae."):
            yield path
        for value in config.values():
            yield from foreign_classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from foreign_classes(value)


def _made(kind: type, spec: Mapping[str, Any], provided: Mapping[str, Any]) -> Any:
    names = asked(kind)
    given = {name: value for name, value in provided.items() if name in names}
    for name, value in (spec.get("init_args") or {}).items():
        given[name] = _value(value, provided)
    return kind(**given)


def _value(value: Any, provided: Mapping[str, Any]) -> Any:
    """An option's value: an object where it is written as a part, also for each of several."""
    if _is_spec(value):
        inner = find_class(value["class_path"])
        return value if inner is None else _made(inner, value, provided)
    if isinstance(value, Mapping):
        return {name: _value(item, provided) for name, item in value.items()}
    return value


def asked(kind: type) -> set[str]:
    """The constructor's parameters, and those that ``**kwargs`` hands on to its bases."""
    names: set[str] = set()
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        names |= set(parameters)
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return names


def _is_spec(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("class_path"), str)


def _list(names: Mapping[str, type]) -> str:
    return ", ".join(names)
