"""A prior with a peak and heavier tails."""

from __future__ import annotations

import pyro.distributions as dist
import torch

from .base import Prior
from .checks import check_latent, check_positive


class Laplace(Prior):
    r"""Independent Laplace variables: a peak at zero and tails heavier than the normal's.

    .. math:: p(z) = \prod_d \frac{1}{2b} e^{-|z_d| / b}

    Its density is not rotation invariant, so the axes of z mean something, as in sparse coding
    (Olshausen and Field 1996, *Emergence of Simple-Cell Receptive Field Properties by Learning a
    Sparse Code for Natural Images*). The KL from a normal is known in closed form.

    Args:
        latent: number of latent dimensions.
        scale: the scale b; the variance is 2 b^2.

    Raises ``ValueError`` where a number is not positive.

    >>> round(Laplace(2, scale=0.5)().log_prob(torch.tensor([0.5, -1.0])).item(), 4)
    -3.0
    """

    loc: torch.Tensor
    scale: torch.Tensor

    def __init__(self, latent: int, scale: float = 1.0) -> None:
        super().__init__()
        check_latent(latent)
        check_positive("scale", scale)
        self.latent = latent
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.full((latent,), float(scale)), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return dist.Laplace(self.loc, self.scale).to_event(1)
