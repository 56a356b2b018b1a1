"""The likelihood of binary data."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from .base import Likelihood, as_event


class Bernoulli(Likelihood):
    r"""Independent coins, for binary data.

    .. math:: p(x|z) = \prod_i \pi_i^{x_i} (1-\pi_i)^{1-x_i}, \qquad \pi = \mathrm{sigmoid}(f(z))

    Data are 0 or 1. Grey values in between are outside its support: they are binarised
    (``pyro_vae.data`` does it afresh at every pass), or need another likelihood.

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*, appendix C.1.

    Args:
        network: maps z ``(*batch, latent)`` to logits ``(*batch, *event)``.

    >>> import torch
    >>> p = Bernoulli(nn.Linear(2, 5))(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "binary"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @staticmethod
    def outputs(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
        return shape

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        return as_event(dist.Bernoulli(logits=self.network(z)), z, mask)
