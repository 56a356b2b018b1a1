"""A prior with heavy tails."""

from __future__ import annotations

import pyro.distributions as dist
import torch

from .base import Prior
from .checks import check_latent, check_positive


class StudentT(Prior):
    r"""Independent Student t variables: tails that fall as a power, so that far codes are allowed.

    .. math:: p(z) \propto \prod_d \Big(1 + \frac{z_d^2}{\nu s^2}\Big)^{-(\nu + 1)/2}

    The mean (zero) exists for :math:`\nu > 1`, the variance for :math:`\nu > 2`. No closed-form
    KL: it is sampled.

    Args:
        latent: number of latent dimensions.
        df: degrees of freedom :math:`\nu`.
        scale: the scale s.

    Raises ``ValueError`` where a number is not positive.

    >>> round(StudentT(1, df=1.0)().log_prob(torch.zeros(1)).item(), 4)      # Cauchy: 1 / pi
    -1.1447
    """

    df: torch.Tensor
    loc: torch.Tensor
    scale: torch.Tensor

    def __init__(self, latent: int, df: float = 5.0, scale: float = 1.0) -> None:
        super().__init__()
        check_latent(latent)
        check_positive("df", df)
        check_positive("scale", scale)
        self.latent = latent
        self.register_buffer("df", torch.full((latent,), float(df)), persistent=False)
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.full((latent,), float(scale)), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return dist.StudentT(self.df, self.loc, self.scale).to_event(1)
