"""The arguments of one step, taken apart into tensors and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor, nn

from .attributes import PLAIN


class Call:
    """``args`` and ``kwargs`` as tensors, a key for everything else, and other objects.

    Two calls with the same key differ in the values of their tensors alone: shapes, types,
    devices, layouts and the numbers among the arguments are in the key. Numbers with a decimal
    point become tensors of no dimensions where ``lift`` is set, so that an annealing weight given
    as an argument is not part of the key.

    Attributes:
        key: hashable.
        tensors: in the order of the arguments.
        objects: arguments that are neither tensors, numbers nor containers of these.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], lift: bool = True) -> None:
        self._arguments = (args, kwargs)
        self._lift = lift
        self.tensors: list[Tensor] = []
        self.objects: list[Any] = []
        self._numbers: list[tuple[int, float]] = []
        self._key: list[Any] = [torch.is_grad_enabled(), torch.get_default_dtype(), am_i_wrapped()]
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                self._key += [kind, torch.get_autocast_dtype(kind)]
        for argument in args:
            self._take(argument)
        if kwargs:
            self._take(kwargs)
        if self._numbers:
            double = any(tensor.dtype is torch.float64 for tensor in self.tensors)
            for place, number in self._numbers:
                self.tensors.insert(
                    place, torch.tensor(number, dtype=torch.float64 if double else None)
                )
        self.key = tuple(self._key)

    @property
    def lifted(self) -> bool:
        """Whether numbers have become tensors."""
        return bool(self._numbers)

    def rebuild(self, tensors: list[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments again, with other tensors in the places of these."""
        return self._put(self._arguments, iter(tensors))

    def _take(self, value: Any) -> None:
        kind = type(value)
        if self._is_tensor(value):
            self.tensors.append(value)
            layout = (value.shape, value.stride(), value.dtype, value.device, value.requires_grad)
            self._key.append(layout)
        elif kind is float and self._lift:
            self._numbers.append((len(self.tensors) + len(self._numbers), value))
            self._key.append(float)
        elif isinstance(value, tuple) or kind is list:
            self._key.append((kind, len(value)))
            for item in value:
                self._take(item)
        elif kind is dict:
            self._key.append((kind, *value))
            for item in value.values():
                self._take(item)
        elif isinstance(value, PLAIN):
            self._key.append((kind, value))
        else:
            self.objects.append(value)
            self._key.append((kind, id(value)))

    def _put(self, value: Any, tensors: Iterator[Tensor]) -> Any:
        kind = type(value)
        if self._is_tensor(value) or (kind is float and self._lift):
            return next(tensors)
        if isinstance(value, tuple) or kind is list:
            items = [self._put(item, tensors) for item in value]
            return kind(*items) if hasattr(value, "_fields") else kind(items)
        if kind is dict:
            return {key: self._put(item, tensors) for key, item in value.items()}
        return value

    @staticmethod
    def _is_tensor(value: Any) -> bool:
        # Others (sparse ones, subclasses) count as objects: the same one, or another call.
        return type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided
