"""The normal posterior with every correlation."""

from __future__ import annotations

from math import isqrt
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from . import _normal_kl as _normal_kl  # so that its KL from independent normals is known
from .base import Posterior


class FullCovarianceNormal(Posterior):
    r"""A normal with a full covariance: every pair of latents may be correlated.

    .. math:: q(z|x) = \mathcal N(z; \mu(x), L(x) L(x)^\top)

    The network puts out :math:`\mu`, the diagonal of the Cholesky factor :math:`L` before a
    softplus, and the entries below it, row by row. Reparameterised:
    :math:`z = \mu + L\epsilon`. Where the exact posterior is a normal of precision
    :math:`\Lambda`, this family reaches it; the best independent normals stay
    :math:`\tfrac12 (\sum_d \log\Lambda_{dd} - \log\det\Lambda)` nats below.

    Kingma and Welling 2019, *An Introduction to Variational Autoencoders*, section 2.5.1.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, latent * (latent + 3) / 2)``.
        min_scale: the least entry of the diagonal of :math:`L`.

    Raises ``ValueError`` where the network's output has no such length.

    >>> posterior = FullCovarianceNormal(nn.Linear(5, 9))
    >>> q = posterior(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.covariance_matrix.shape
    (torch.Size([7]), torch.Size([3]), torch.Size([7, 3, 3]))
    """

    def __init__(self, network: nn.Module, min_scale: float = 1e-6) -> None:
        super().__init__()
        self.network = network
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        return (latent * (latent + 3) // 2,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parameters = self.network(x)
        size = parameters.shape[-1]
        latent = (isqrt(9 + 8 * size) - 3) // 2
        if latent < 1 or self.outputs(latent) != (size,):
            raise ValueError(
                "FullCovarianceNormal takes a network with latent * (latent + 3) / 2 outputs "
                f"(means and a Cholesky factor), not {size}"
            )
        loc, diagonal, below = parameters.split([latent, latent, size - 2 * latent], -1)
        rows, columns = torch.tril_indices(latent, latent, -1, device=parameters.device)
        factor = torch.diag_embed(softplus(diagonal) + self.min_scale)
        factor[..., rows, columns] = below
        return dist.MultivariateNormal(loc, scale_tril=factor)
