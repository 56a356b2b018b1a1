"""What kinds of things hold the values that a program reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

import pyro
import torch
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from torch import nn

from .staging_error import is_library

#: Values that are compared by value.
PLAIN = (int, float, complex, bool, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
#: Objects of libraries that hold parts of programs.
HOLDERS = (
    nn.Module,
    Messenger,
    pyro.infer.ELBO,
    torch.distributions.Distribution,
    torch.distributions.Transform,
)
_OPAQUE = (sys.stdlib_module_names | {"torch", "pyro", "numpy"}) - {"__main__"}


class _Slots(Mapping[str, Any]):
    """The attributes of an object that has no ``__dict__``."""

    def __init__(self, value: Any) -> None:
        self.value = value
        names = [base.__dict__.get("__slots__", ()) for base in type(value).__mro__]
        self.names = [n for group in names for n in ([group] if isinstance(group, str) else group)]

    def __getitem__(self, key: str) -> Any:
        return getattr(self.value, key)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.names if hasattr(self.value, name))

    def __len__(self) -> int:
        return len(self.names)


def attributes_of(value: Any) -> Mapping[str, Any]:
    """Names and values, live."""
    return vars(value) if hasattr(value, "__dict__") else _Slots(value)


def is_momentary(value: Any) -> bool:
    """Handlers and traces that a library's guide makes anew in each run."""
    values = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(item, Messenger | Trace) for item in values)


def equal(now: Any, before: Any) -> bool:
    """Whether both are the same number or word; other things are compared by identity."""
    return type(now) is type(before) and isinstance(now, PLAIN) and now == before


def names_in(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function, and in those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def is_opaque(kind: type) -> bool:
    """Whether such objects belong to Python, torch or Pyro, and hold nobody's settings."""
    package = kind.__module__.partition(".")[0]
    return package in _OPAQUE and kind.__name__ not in ("SimpleNamespace", "Namespace")


def of_library(owner: type) -> bool:
    """Whether a class is an installed library's: its own attributes do not change."""
    return is_opaque(owner) or is_library(
        getattr(sys.modules.get(owner.__module__), "__file__", None) or ""
    )
