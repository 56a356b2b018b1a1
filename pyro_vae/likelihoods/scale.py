"""Noise scales, and other positive numbers: fixed, learned, or put out by the network."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import numbers

#: A number, one learned for all of x, one learned for each entry, or one predicted for each.
Spread = float | Literal["shared", "per-dimension", "per-pixel"]

#: A predicted scale never falls below this part of where it starts: a normal density grows
#: without limit on entries that never vary, and would spend itself on them.
LEAST = 1e-3


def predicted(spread: object) -> bool:
    """Whether the network puts out one more number for each entry of x."""
    return spread == "per-pixel"


def log_scale(
    network: nn.Module,
    spread: float | str,
    initial: float,
    count: int = 1,
    name: str = "scale",
    also: str = "",
) -> Tensor:
    """The logarithm to be held by a likelihood: a parameter where it is learned.

    Args:
        network: the likelihood's; says its output shape in ``outputs`` for ``"per-dimension"``.
        spread: a number fixes it; ``"shared"`` and ``"per-dimension"`` learn it from ``initial``
            on; ``"per-pixel"`` multiplies ``initial`` by what the network says.
        initial: where it starts.
        count: how many numbers the network puts out for each entry of x.
        name, also: in errors, what it is called and a further word that the likelihood knows.

    Raises ``ValueError`` for a number that is not positive, or a word that is none of these.

    >>> log_scale(nn.Identity(), 1.0, initial=0.5)
    tensor(0.)
    """
    start = spread if isinstance(spread, int | float) else initial
    if not start > 0:
        raise ValueError(f"a {name} is positive, not {start}")
    if isinstance(spread, int | float) or predicted(spread):
        return torch.tensor(math.log(start))
    if spread == "shared":
        return nn.Parameter(torch.tensor(math.log(start)))
    if spread == "per-dimension":
        shape = getattr(network, "outputs", None)
        if shape is None:
            raise ValueError(
                f"{name}='per-dimension' needs a network that says its output shape in "
                "`outputs`, as pyro_vae.networks do"
            )
        entries = tuple(shape) if count == 1 else (shape[0] // count, *shape[1:])
        return nn.Parameter(torch.full(entries, math.log(start)))
    raise ValueError(
        f"{name} is a number, {also}'per-pixel', 'shared' or 'per-dimension', not {spread!r}"
    )


def hold(part: nn.Module, name: str, logarithm: Tensor) -> None:
    """Register it as a parameter or a buffer, so that ``.to`` and ``state_dict`` reach it."""
    if isinstance(logarithm, nn.Parameter):
        part.register_parameter(name, logarithm)
    else:
        part.register_buffer(name, logarithm)


def with_scale(
    output: Tensor, z: Tensor, logarithm: Tensor, spread: object, count: int = 1
) -> tuple[Tensor, ...]:
    r"""The ``count`` numbers of each entry of x, and behind them its scale.

    A predicted scale is :math:`\sigma_0(\mathrm{softplus}(s)/\log 2 + 10^{-3})`, which is (nearly)
    :math:`\sigma_0` where the network says s = 0.

    >>> loc, scale = with_scale(torch.zeros(4), torch.zeros(2), torch.tensor(0.0), "per-pixel")
    >>> scale
    tensor([1.0010, 1.0010])
    """
    if not predicted(spread):
        return (*numbers(output, z, count), logarithm.exp())
    *found, raw = numbers(output, z, count + 1)
    return (*found, logarithm.exp() * (softplus(raw) / math.log(2) + LEAST))
