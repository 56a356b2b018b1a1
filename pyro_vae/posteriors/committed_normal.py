"""A mean-field posterior that cannot collapse onto the prior."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from .base import Posterior


class CommittedNormal(Posterior):
    r"""Independent normals so narrow that each dimension spends at least delta nats.

    .. math:: q(z|x) = \prod_d \mathcal N(z_d; \mu_d(x), \sigma_d(x)^2), \qquad
        \sigma_\min < \sigma_d(x) \le \sigma_\delta

    where :math:`\sigma_\delta < 1` is the scale at which a normal with mean 0 is delta nats from
    the standard normal, :math:`\tfrac12(\sigma_\delta^2 - 1 - \log \sigma_\delta^2) = \delta`. For
    every x and any weights, :math:`\mathrm{KL}(q(z|x) \,\|\, \mathcal N(0, I)) \ge \delta` for each
    dimension: the committed rate of a delta-VAE. The ELBO stays as it is, and so does what it
    bounds. The rate is spent in any case, so that the guide loses nothing by spreading the means
    with x; that it does is not enforced. Meant for the standard normal prior: against one that can
    itself become narrow, nothing is committed.

    The network's output is cut in two halves, :math:`\mu` and :math:`s`, with
    :math:`\sigma = \sigma_\min + (\sigma_\delta - \sigma_\min)\,\mathrm{sigmoid}(s)`.

    Razavi, van den Oord, Poole and Vinyals 2019, *Preventing Posterior Collapse with delta-VAEs*.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, 2 * latent)``.
        delta: the least KL, nats for each latent dimension, above 0.
        min_scale: the least standard deviation :math:`\sigma_\min`.

    Raises ``ValueError`` where delta is not positive or needs a scale below ``min_scale``, and
    where the network's output has an odd length.

    >>> q = CommittedNormal(nn.Linear(5, 2 * 3), delta=0.5)(torch.randn(7, 5))
    >>> p = dist.Normal(torch.zeros(3), 1.0).to_event(1)
    >>> bool((torch.distributions.kl_divergence(q, p.expand([7])) >= 3 * 0.5).all())
    True
    """

    def __init__(self, network: nn.Module, delta: float = 0.1, min_scale: float = 1e-6) -> None:
        super().__init__()
        if not 0.0 < delta < math.inf:
            raise ValueError(f"delta is a positive number of nats, not {delta!r}")
        self.network = network
        self.delta = delta
        self.max_scale = widest(delta)
        if not 0.0 < min_scale < self.max_scale:
            raise ValueError(
                f"min_scale must lie in (0, {self.max_scale:.3g}), where {delta:g} nats are "
                f"committed, not {min_scale!r}"
            )
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        return (2 * latent,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parameters = self.network(x)
        if parameters.shape[-1] % 2:
            raise ValueError(
                "CommittedNormal takes a network with 2 * latent outputs (means and scales), "
                f"not {parameters.shape[-1]}"
            )
        loc, raw = parameters.chunk(2, -1)
        scale = self.min_scale + (self.max_scale - self.min_scale) * torch.sigmoid(raw)
        return dist.Normal(loc, scale).to_event(1)


def widest(delta: float) -> float:
    """The scale below 1 at which N(0, scale^2) is delta nats from the standard normal.

    >>> s = widest(0.5)
    >>> round((s**2 - 1) / 2 - math.log(s), 9)
    0.5
    """
    # In t = log scale the KL falls from infinity to 0 at t = 0: halve until no double is between.
    low, high = -delta - 1.0, 0.0
    while low < (middle := (low + high) / 2) < high:
        if math.expm1(2 * middle) / 2 - middle >= delta:
            low = middle
        else:
            high = middle
    return math.exp(low)
