"""The normal posterior with correlations along a few directions."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from . import _normal_kl as _normal_kl  # so that its KL from independent normals is known
from .base import Posterior


class LowRankNormal(Posterior):
    r"""A normal whose latents are correlated along a few directions.

    .. math:: q(z|x) = \mathcal N(z; \mu(x), D(x) + V(x) V(x)^\top)

    :math:`D` is diagonal, with positive standard deviations by softplus, and :math:`V` has
    ``rank`` columns: between independent latents (rank 0 would be these) and a full covariance,
    for as many outputs as ``latent * (2 + rank)``. Reparameterised:
    :math:`z = \mu + D^{1/2}\epsilon + V\eta`.

    Ong, Nott and Smith 2018, *Gaussian Variational Approximation with a Factor Covariance
    Structure*.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, latent * (2 + rank))``.
        rank: number of columns of :math:`V`, at least 1.
        min_scale: the least standard deviation in :math:`D`.

    Raises ``ValueError`` for a ``rank`` below 1, or a network's output of no such length.

    >>> import torch
    >>> q = LowRankNormal(nn.Linear(5, 3 * (2 + 1)), rank=1)(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.cov_factor.shape
    (torch.Size([7]), torch.Size([3]), torch.Size([7, 3, 1]))
    """

    def __init__(self, network: nn.Module, rank: int = 2, min_scale: float = 1e-6) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank is the number of directions, at least 1, not {rank}")
        self.network = network
        self.rank = rank
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, *, rank: int = 2, **_: Any) -> tuple[int, ...]:
        return (latent * (2 + rank),)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parameters = self.network(x)
        latent, rest = divmod(parameters.shape[-1], 2 + self.rank)
        if rest or not latent:
            raise ValueError(
                f"LowRankNormal(rank={self.rank}) takes a network with latent * {2 + self.rank} "
                f"outputs (means, scales and directions), not {parameters.shape[-1]}"
            )
        loc, raw, factor = parameters.split([latent, latent, latent * self.rank], -1)
        scale = softplus(raw) + self.min_scale
        factor = factor.unflatten(-1, (latent, self.rank))
        return dist.LowRankMultivariateNormal(loc, cov_factor=factor, cov_diag=scale.square())
