"""What pictures of the latent space need to know of the prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro_vae.priors import Prior, StandardNormal


def contours(prior: Any, latent: int) -> dict[str, Any]:
    """Options of ``plots.latent_scatter`` for the contours of this prior.

    The marginal of two dimensions among many is not to be had in general: then none are drawn.

    >>> contours(StandardNormal(5), 5), list(contours(torch.nn.Identity(), 5))
    ({}, ['levels'])
    """
    if isinstance(prior, StandardNormal):
        return {}
    if latent != 2 or not isinstance(prior, Prior):  # one from a context has no one density
        return {"levels": ()}

    def log_prob(z: Tensor) -> Tensor:
        with torch.no_grad():
            return prior().log_prob(z.to(_device(prior))).cpu()

    return {"prior_log_prob": log_prob}


def quantiles(prior: Any) -> Callable[[Tensor], Tensor] | None:
    """The inverse distribution function of each dimension, where the prior factorises.

    >>> quantiles(StandardNormal(2))(torch.full((1, 2), 0.5))
    tensor([[0., 0.]])
    """
    factors = getattr(prior(), "base_dist", None) if isinstance(prior, Prior) else None
    if factors is None:
        return None

    def icdf(probability: Tensor) -> Tensor:
        with torch.no_grad():
            return factors.icdf(probability.to(_device(prior))).cpu()

    try:
        icdf(torch.full((1, 2), 0.5))
    except (NotImplementedError, RuntimeError):  # no closed form, or not of two dimensions
        return None
    return icdf


def _device(prior: Any) -> torch.device:
    tensors = [*prior.parameters(), *prior.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
