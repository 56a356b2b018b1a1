"""A prior with several modes."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import nn
from torch.nn.functional import softplus

from ._mixture import mixture
from .base import Prior
from .checks import check_count, check_latent, check_positive
from .learned_normal import UNIT


class MixtureOfNormals(Prior):
    r"""A mixture of normals with learned weights, means and scales.

    .. math:: p(z) = \sum_k \pi_k \prod_d \mathcal N(z_d; m_{kd}, s_{kd}^2)

    The weights begin equal, the scales at 1, and the means as draws of a normal with scale
    ``spread``: components that begin in one place would get one gradient, and stay one.
    There is no closed-form KL from a normal: it is sampled.

    Dilokthanakul et al. 2016, *Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders*; the baseline "MoG" of Tomczak and Welling 2018, *VAE with a VampPrior*.

    Args:
        latent: number of latent dimensions.
        components: number of normals.
        spread: standard deviation of the first means.

    Raises ``ValueError`` where a number is not positive.

    >>> _ = torch.manual_seed(0)
    >>> p = MixtureOfNormals(2, components=3)()
    >>> p.batch_shape, p.event_shape, p.sample((5,)).shape
    (torch.Size([]), torch.Size([2]), torch.Size([5, 2]))
    """

    def __init__(self, latent: int, components: int = 10, spread: float = 1.0) -> None:
        super().__init__()
        check_latent(latent)
        check_count("components", components)
        check_positive("spread", spread)
        self.latent = latent
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(spread * torch.randn(components, latent))
        self.raw_scale = nn.Parameter(torch.full((components, latent), UNIT))

    def forward(self) -> dist.TorchDistribution:
        parts = dist.Normal(self.loc, softplus(self.raw_scale)).to_event(1)
        return mixture(self.logits, parts)
