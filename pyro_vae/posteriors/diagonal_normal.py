"""The mean-field posterior of the first VAE."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import Posterior


class DiagonalNormal(Posterior):
    r"""Independent normals: the mean-field family of the first VAE.

    .. math:: q(z|x) = \prod_d \mathcal N(z_d; \mu_d(x), \sigma_d(x)^2)

    The network's output is cut in two halves, :math:`\mu` and :math:`s`, with
    :math:`\sigma = \mathrm{softplus}(s) + \sigma_\min`: unlike :math:`e^{s}`, it cannot overflow
    early in training. Reparameterised: :math:`z = \mu + \sigma\epsilon`.

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, 2 * latent)``.
        min_scale: the least standard deviation :math:`\sigma_\min`.

    Raises ``ValueError`` where the network's output has an odd length.

    >>> import torch
    >>> posterior = DiagonalNormal(nn.Linear(5, 2 * 3))
    >>> q = posterior(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([3]), True)
    """

    def __init__(self, network: nn.Module, min_scale: float = 1e-6) -> None:
        super().__init__()
        self.network = network
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        return (2 * latent,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parameters = self.network(x)
        if parameters.shape[-1] % 2:
            raise ValueError(
                "DiagonalNormal takes a network with 2 * latent outputs (means and scales), "
                f"not {parameters.shape[-1]}"
            )
        loc, raw = parameters.chunk(2, -1)
        return dist.Normal(loc, softplus(raw) + self.min_scale).to_event(1)
