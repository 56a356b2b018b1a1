"""Shapes and activations that every network here reads the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

Shape = int | Sequence[int]
Activation = Literal["relu", "tanh", "silu", "gelu", "elu", "softplus", "leaky_relu"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "leaky_relu": nn.LeakyReLU,
}


def as_shape(shape: Shape) -> tuple[int, ...]:
    """A shape as a tuple: ``784`` means ``(784,)``.

    Raises ``ValueError`` where a size is not a positive whole number.

    >>> as_shape(784), as_shape([1, 28, 28])
    ((784,), (1, 28, 28))
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"a shape is positive whole numbers, not {shape!r}")
    return sizes


def numel(shape: tuple[int, ...]) -> int:
    """How many numbers one event of this shape holds."""
    return math.prod(shape)


def activation(name: Activation) -> nn.Module:
    """A new activation module by its usual name; ``ValueError`` lists the names."""
    if name not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose from {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


def split_batch(x: Tensor, event: tuple[int, ...], network: str) -> tuple[int, ...]:
    """The leading batch shape of ``x``, after checking that it ends in ``event``."""
    batch = x.shape[: x.dim() - len(event)]
    if tuple(x.shape[len(batch) :]) != event or x.dim() < len(event):
        raise ValueError(
            f"{network} takes events of shape {event} after any batch dimensions, "
            f"but its input has shape {tuple(x.shape)}"
        )
    return tuple(batch)
