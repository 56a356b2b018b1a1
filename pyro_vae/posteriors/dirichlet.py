"""The posterior over proportions."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import Posterior


class Dirichlet(Posterior):
    r"""A Dirichlet: latents that are positive and sum to one.

    .. math:: q(z|x) \propto \prod_d z_d^{\alpha_d(x) - 1}, \quad z_d > 0, \; \sum_d z_d = 1,
              \quad \alpha = \mathrm{softplus}(a) + \alpha_\min

    To be paired with a prior on the simplex. Reparameterised, with the implicit gradient of the
    gamma distribution (Figurnov, Mohamed and Mnih 2018, *Implicit Reparameterization Gradients*;
    Jankowiak and Obermeyer 2018, *Pathwise Derivatives Beyond the Reparameterization Trick*).
    PyTorch can follow it once, not twice: refine this family with
    ``SemiAmortized(..., through=False)``.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, latent)``.
        min_concentration: the least concentration. In single precision the smallest positive
            number is 1e-38, and a proportion of concentration :math:`\alpha` falls below with
            probability of about :math:`10^{-38\alpha}`: 2e-4 at 0.1, but 0.4 at 0.01.

    >>> import torch
    >>> q = Dirichlet(nn.Linear(5, 3))(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([3]), True)
    """

    def __init__(self, network: nn.Module, min_concentration: float = 0.1) -> None:
        super().__init__()
        self.network = network
        self.min_concentration = min_concentration

    @staticmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        return (latent,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Dirichlet(softplus(self.network(x)) + self.min_concentration)
