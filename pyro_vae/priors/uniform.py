"""A prior without preference inside a box."""

from __future__ import annotations

import pyro.distributions as dist
import torch

from .base import Prior
from .checks import check_latent


class Uniform(Prior):
    r"""A uniform density on a box, and nothing outside it.

    .. math:: p(z) = (h - l)^{-D} \quad \text{for } z \in [l, h]^D

    It needs a posterior on the same box: one that reaches outside has an infinite KL, which is
    what a normal posterior gets.

    Args:
        latent: number of latent dimensions D.
        low: the lower end l of every side.
        high: the upper end h of every side.

    Raises ``ValueError`` where ``latent`` is not positive, or ``low`` not below ``high``.

    >>> round(Uniform(2, low=-1.0, high=1.0)().log_prob(torch.zeros(2)).item(), 4)
    -1.3863
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, latent: int, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        check_latent(latent)
        if not low < high:
            raise ValueError(f"low is below high, not {low} against {high}")
        self.latent = latent
        self.register_buffer("low", torch.full((latent,), float(low)), persistent=False)
        self.register_buffer("high", torch.full((latent,), float(high)), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return dist.Uniform(self.low, self.high).to_event(1)
