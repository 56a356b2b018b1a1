"""Which part of a 2-D latent space is worth exploring."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.priors import Prior
from pyro_vae.terms import untouched_randomness

from .prior_pictures import quantiles

#: Of the prior's probability, left out on either side; and how many draws stand for it.
TAIL, DRAWS = 0.001, 2000


def plane(prior: Any, codes: Tensor) -> tuple[tuple[float, float], ...] | None:
    """The box (low, high) of either dimension that holds the prior and codes (m, 2).

    ``None`` where the prior is not one distribution, or lies not on the plane but, say, on a
    simplex in it.

    >>> from pyro_vae.priors import Uniform
    >>> plane(Uniform(2, low=0.0, high=1.0), torch.tensor([[0.5, 0.5]]))
    ((0.001, 0.999), (0.001, 0.999))
    """
    if codes.shape[1] != 2 or not isinstance(prior, Prior):
        return None
    icdf = quantiles(prior)
    if icdf is not None:
        extent = icdf(torch.tensor([[TAIL] * 2, [1 - TAIL] * 2]))
    elif _fills_the_plane(prior):
        with untouched_randomness(0), torch.no_grad():
            extent = prior().sample((DRAWS,)).cpu()
    else:
        return None
    z = torch.cat([extent, codes])
    low, high = z.amin(0).tolist(), z.amax(0).tolist()
    return tuple((round(a, 6), round(b, 6)) for a, b in zip(low, high, strict=True))


def _fills_the_plane(prior: Prior) -> bool:
    support = prior().support
    while hasattr(support, "base_constraint"):  # of a mixture, of dimensions that are one event
        support = support.base_constraint
    return support in (constraints.real, constraints.real_vector)
