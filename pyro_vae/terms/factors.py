"""Distributions that are products over the latent dimensions."""

from __future__ import annotations

from typing import Any

from pyro.distributions import TorchDistribution
from torch.distributions import Independent

from .errors import ProgramError
from .kl import family


def factors(fn: TorchDistribution, name: str, where: str, objective: str) -> Any:
    """The scalar factors of a distribution: its event is in the batch of what is returned.

    ``where`` is ``"model"`` or ``"guide"``. Raises :class:`ProgramError` naming the site where it
    is not such a product.

    >>> import pyro.distributions as dist, torch
    >>> q = dist.Normal(torch.zeros(5, 3), 1.0).to_event(1)
    >>> factors(q, "z", "guide", "FreeBits").batch_shape
    torch.Size([5, 3])
    """
    base: Any = fn
    while isinstance(base, Independent):
        base = base.base_dist
    if base.event_shape or family(base) == "Delta":
        raise ProgramError(
            f"site {name!r} does not suit {objective}: {family(fn)} in the {where} is not a "
            "product of densities over the latent dimensions, as Normal(...).to_event(1) is"
        )
    return base
