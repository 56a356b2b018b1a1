"""A prior on proportions."""

from __future__ import annotations

import pyro.distributions as dist
import torch

from .base import Prior
from .checks import check_latent, check_positive


class Dirichlet(Prior):
    r"""Proportions that sum to one: z is a point of the simplex.

    .. math:: p(z) = \frac{\Gamma(D a)}{\Gamma(a)^D} \prod_d z_d^{a - 1}

    Below 1 the concentration a prefers corners (few topics a document), above 1 the middle. Goes
    with a Dirichlet posterior (closed-form KL, implicit reparameterisation).

    Srivastava and Sutton 2017, *Autoencoding Variational Inference for Topic Models*; Joo et al.
    2020, *Dirichlet Variational Autoencoder*.

    Args:
        latent: number of proportions D; their values have D - 1 degrees of freedom.
        concentration: a, the same for each.

    Raises ``ValueError`` where a number is not positive.

    >>> Dirichlet(3)().log_prob(torch.tensor([0.2, 0.3, 0.5])).exp().item()     # 1 / area
    2.0
    """

    concentration: torch.Tensor

    def __init__(self, latent: int, concentration: float = 1.0) -> None:
        super().__init__()
        check_latent(latent)
        check_positive("concentration", concentration)
        self.latent = latent
        values = torch.full((latent,), float(concentration))
        self.register_buffer("concentration", values, persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return dist.Dirichlet(self.concentration)
