"""The unknown part of data, given the known part."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.terms.passes import Program

from .checks import count
from .generation import generate


def parted(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Cut data into what is to be modelled and what is given: the x and y of a conditional program.

    Args:
        x: ``(n, *event)``.
        known: boolean, of the event's shape, ``True`` where an entry is given.

    Returns:
        The unknown entries ``(n, unknown)`` and the known ones ``(n, known)``, in the order of x.

    Raises ``ValueError`` for a mask that is not boolean or not of the event's shape, or that
    leaves nothing on one side.

    >>> unknown, given = parted(torch.arange(6.0).reshape(2, 3), torch.tensor([True, False, True]))
    >>> unknown.tolist(), given.tolist()
    ([[1.0], [4.0]], [[0.0, 2.0], [3.0, 5.0]])
    """
    if known.dtype != torch.bool or known.shape != x.shape[1:]:
        raise ValueError(
            f"known is boolean, of shape {tuple(x.shape[1:])}, not {known.dtype} "
            f"{tuple(known.shape)}"
        )
    if bool(known.all()) or not bool(known.any()):
        raise ValueError("known has to leave some entries on either side: it is the same for all")
    flat, where = x.flatten(1), known.flatten().to(x.device)
    return flat[:, ~where], flat[:, where]


def complete(
    model: Program, x: Tensor, known: Tensor, draws: int = 1, mean: bool = True, seed: int = 0
) -> Tensor:
    r"""Fill the unknown part of each example by a conditional program, several times.

    .. math:: z \sim p(z|y), \quad x_{\text{unknown}} \sim p(x|z, y), \qquad
              y = x_{\text{known}}

    Args:
        model: a program called as ``model(unknown, given)``, with the two as :func:`parted` cuts
            them.
        x: ``(n, *event)``; only the known part is read.
        known: boolean, of the event's shape.
        draws: how many completions of each.
        mean: ``False`` for a draw from p(x|z, y) in place of its mean, given z.
        seed: of the draws.

    Returns:
        ``(draws, n, *event)``: the known part as it was, the unknown one filled.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x, y):                                     # the unknown is the sum of the known
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("x", dist.Normal(y.sum(-1, True), 0.1).to_event(1), obs=x)
    >>> nan = float("nan")
    >>> complete(model, torch.tensor([[1.0, nan, 3.0]]), torch.tensor([True, False, True]))
    tensor([[[1., 4., 3.]]])
    """
    unknown, given = parted(x, known)
    n = len(x) * count(draws, "draws")
    repeated = given.repeat(draws, 1)
    filled = generate(model, torch.zeros_like(unknown), n, repeated, mean=mean, seed=seed)
    result = x.flatten(1).repeat(draws, 1)
    result[:, ~known.flatten().to(x.device)] = filled.to(x)
    return result.reshape(draws, *x.shape)
