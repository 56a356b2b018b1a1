"""The prior of the first VAE."""

from __future__ import annotations

import pyro.distributions as dist
import torch

from .base import Prior
from .checks import check_latent


class StandardNormal(Prior):
    r"""Independent standard normals.

    .. math:: p(z) = \prod_d \mathcal N(z_d; 0, 1)

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.

    Args:
        latent: number of latent dimensions.

    Raises ``ValueError`` where ``latent`` is not positive.

    >>> prior = StandardNormal(2)
    >>> prior().event_shape, prior().log_prob(torch.zeros(2)).item()
    (torch.Size([2]), -1.8378770351409912)
    """

    loc: torch.Tensor
    scale: torch.Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        check_latent(latent)
        self.latent = latent
        # Constants, but buffers all the same: `.to(device)` and `.double()` must reach them.
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.loc, self.scale).to_event(1)
