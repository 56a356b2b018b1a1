"""The Python values that a program can read, and whether they are still the same.

A staged program holds the numbers of the run that it was staged from. Whatever it could have read
is noted here: what its functions close over, the globals that they name, and the attributes of the
modules and objects among these. Before each step a look at all of them costs some microseconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from .attributes import (
    HOLDERS,
    PLAIN,
    attributes_of,
    equal,
    is_momentary,
    is_opaque,
    names_in,
    of_library,
)
from .staging_error import is_library

_MISSING = object()
_MODULE_DICTS = ("_parameters", "_buffers", "_modules")
_INTERNAL = frozenset(vars(nn.Module())) - {"training", *_MODULE_DICTS}
_MOST = 256  # longer lists and dicts are data
_MOST_OBJECTS = 20_000


class Readable:
    """A snapshot of every Python value that the roots can read."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._entries: list[tuple[Callable[..., Any], Any, Any, str]] = []
        self._cells: list[tuple[CellType, Any, str]] = []
        self._lists: list[tuple[list[Any], list[Any], str]] = []
        self._lengths: list[tuple[dict[Any, Any], int, str]] = []
        self._seen: dict[int, Any] = {}
        waiting = [(root, "an argument") for root in roots]
        while waiting and len(self._seen) < _MOST_OBJECTS:
            value, where = waiting.pop()
            if isinstance(value, (*PLAIN, Tensor)) or id(value) in self._seen:
                continue
            self._seen[id(value)] = value  # kept alive: an id is the object's for as long
            waiting.extend(self._inside(value, where))

    def moved(self) -> str | None:
        """Where something is no longer the same, in words; ``None`` where all is."""
        for get, key, value, where in self._entries:
            now = get(key, _MISSING)
            if now is not value and not equal(now, value):
                return where
        for cell, value, where in self._cells:
            if cell.cell_contents is not value and not equal(cell.cell_contents, value):
                return where
        for items, before, where in self._lists:
            if len(items) != len(before) or any(
                a is not b and not equal(a, b) for a, b in zip(items, before, strict=True)
            ):
                return where
        for mapping, length, where in self._lengths:
            if len(mapping) != length:
                return where
        return None

    def _inside(self, value: Any, where: str) -> Iterable[tuple[Any, str]]:
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return [(value.__self__, where), (value.__func__, where)]
        if isinstance(value, functools.partial):
            return [(part, where) for part in (value.func, value.args, value.keywords)]
        if isinstance(value, tuple | frozenset | list | dict) and len(value) > _MOST:
            return []
        if isinstance(value, list):
            self._lists.append((value, list(value), f"a list, {where}"))
        if isinstance(value, tuple | frozenset | list):
            return [(item, where) for item in value]
        if isinstance(value, dict):
            self._lengths.append((value, len(value), where))
            return self._items(value, where)
        if isinstance(value, type):
            return [] if of_library(value) else self._attributes(vars(value), value)
        kind = type(value)
        if isinstance(value, HOLDERS) or not is_opaque(kind):
            classes = [(base, kind.__name__) for base in kind.__mro__ if base is not object]
            return [*classes, *self._attributes(attributes_of(value), kind)]
        wrapped = getattr(value, "__wrapped__", None)  # of functools.lru_cache
        return [] if wrapped is None else [(wrapped, where)]

    def _attributes(self, values: Mapping[str, Any], owner: type) -> Iterator[tuple[Any, str]]:
        private = is_opaque(owner)  # where Pyro and torch keep what they compute once
        for key, value in values.items():
            if key in _MODULE_DICTS and isinstance(value, dict):
                yield value, owner.__name__
            elif not (
                key in _INTERNAL
                or key.startswith("__")
                or (private and (key[0] == "_" or is_momentary(value)))
            ):
                value = getattr(value, "fget", getattr(value, "__func__", value))
                where = f"attribute {key!r} of {owner.__name__}"
                self._entries.append((values.get, key, values[key], where))
                yield value, where

    def _items(self, holder: dict[Any, Any], where: str) -> Iterator[tuple[Any, str]]:
        for key, value in holder.items():
            self._entries.append((holder.get, key, value, f"{key!r} of {where}"))
            yield value, f"{key!r} of {where}"

    def _function(self, function: FunctionType) -> Iterator[tuple[Any, str]]:
        name, code = function.__name__, function.__code__
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            self._cells.append((cell, value, f"{variable!r} in {name}"))
            yield value, f"{variable!r} in {name}"
        yield function.__defaults__ or (), f"a default of {name}"
        yield function.__kwdefaults__ or {}, f"a default of {name}"
        if not is_library(code.co_filename):
            yield from self._globals(function.__globals__, set(names_in(code)))

    def _globals(self, space: dict[str, Any], names: set[str]) -> Iterator[tuple[Any, str]]:
        for key in names & space.keys():
            if not isinstance(space[key], ModuleType):
                self._entries.append((space.get, key, space[key], f"global {key!r}"))
                yield space[key], f"global {key!r}"
            elif not is_library(getattr(space[key], "__file__", None) or "<frozen"):
                # `settings.beta`: both names occur in the function's code.
                yield from self._globals(vars(space[key]), names - {key})
