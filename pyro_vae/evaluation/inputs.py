"""The data that programs are called with: checked, on the programs' device, cut into parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from pyro_vae.checks import modules_of
from pyro_vae.terms.passes import Program


def prepare(programs: Sequence[Program], x: Tensor, others: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """``(x, *others)`` on the programs' device.

    Raises ``TypeError`` for what is no tensor, ``ValueError`` for no examples or for lengths that
    differ.
    """
    arguments = (x, *others)
    for position, argument in enumerate(arguments):
        name = "x" if position == 0 else f"argument {position + 1} of the programs"
        if not isinstance(argument, Tensor):
            raise TypeError(
                f"{name} is a {type(argument).__name__}; a tensor (examples, *event) is needed: "
                "use torch.as_tensor"
            )
        if argument.dim() == 0 or len(argument) == 0:
            raise ValueError(
                f"{name} holds no examples (its shape is {tuple(argument.shape)}); at least one "
                "is needed"
            )
        if len(argument) != len(x):
            raise ValueError(f"{name} has {len(argument)} examples, but x has {len(x)}")
    device = device_of(programs)
    return arguments if device is None else tuple(a.to(device) for a in arguments)


def device_of(programs: Sequence[Program]) -> torch.device | None:
    """Where the parameters (or else buffers) of the programs' modules are, if they have any."""
    modules = [module for program in programs for _, module in modules_of(program)]
    parameters = chain.from_iterable(module.parameters() for module in modules)
    buffers = chain.from_iterable(module.buffers() for module in modules)
    first = next(chain(parameters, buffers), None)
    return None if first is None else first.device


def parts(arguments: Sequence[Tensor], rows: int) -> Iterator[tuple[Tensor, ...]]:
    """The arguments cut into consecutive parts of at most ``rows`` examples."""
    return zip(*(argument.split(rows) for argument in arguments), strict=True)
