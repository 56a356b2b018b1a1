"""A normal prior whose place and width are learned."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from torch import nn
from torch.nn.functional import softplus

from .base import Prior
from .checks import check_latent

#: softplus of this is 1, so that what is learned begins as the standard normal.
UNIT = math.log(math.e - 1)


class LearnedNormal(Prior):
    r"""Independent normals whose means and scales are learned.

    .. math:: p(z) = \prod_d \mathcal N(z_d; m_d, s_d^2), \qquad s_d = \mathrm{softplus}(r_d)

    It begins as the standard normal. With a posterior and a likelihood that can shift and scale z
    by themselves it adds nothing; it does where one of them cannot (a fixed posterior scale, a
    likelihood with a meaning of its own for z).

    Args:
        latent: number of latent dimensions.

    Raises ``ValueError`` where ``latent`` is not positive.

    >>> prior = LearnedNormal(2)
    >>> round(prior().log_prob(torch.zeros(2)).item(), 4), len(list(prior.parameters()))
    (-1.8379, 2)
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        check_latent(latent)
        self.latent = latent
        self.loc = nn.Parameter(torch.zeros(latent))
        self.raw_scale = nn.Parameter(torch.full((latent,), UNIT))

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.loc, softplus(self.raw_scale)).to_event(1)
