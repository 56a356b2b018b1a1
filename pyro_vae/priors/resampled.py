"""A normal prior with holes."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from torch.nn.functional import logsigmoid

from pyro_vae.networks import MLP

from ._resampled import Resampled
from .base import Prior
from .checks import check_count, check_latent


class ResampledPrior(Prior):
    r"""A standard normal from which a learned network rejects what no data use.

    .. math:: p(z) \propto \mathcal N(z; 0, I)\, a(z), \qquad 0 < a(z) < 1,

    sampled by drawing until one is accepted, at most T times, which has the density

    .. math:: p(z) = \mathcal N(z; 0, I)
        \Big[ a(z) \frac{1 - (1 - Z)^{T-1}}{Z} + (1 - Z)^{T-1} \Big]

    :math:`Z = \mathbb E_{\mathcal N}[a(z)]` is the mean over ``proposals`` fresh draws at each
    call, with its gradient. As log is concave, the log-density is too high by about
    :math:`\mathrm{Var}(a) / (2 S Z^2)` for S draws: raise ``proposals`` for a final evaluation.
    z that is scored has a gradient; a draw of the prior has none.

    Bauer and Mnih 2019, *Resampled Priors for Variational Autoencoders*.

    Args:
        latent: number of latent dimensions.
        hidden: width of both hidden layers of the acceptance network.
        truncation: the most draws T for one sample.
        proposals: draws S behind each estimate of Z.

    Raises ``ValueError`` where a number is not positive.

    >>> _ = torch.manual_seed(0)
    >>> p = ResampledPrior(2)()
    >>> p.sample((5,)).shape, p.log_prob(torch.zeros(5, 2)).shape
    (torch.Size([5, 2]), torch.Size([5]))
    """

    loc: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, latent: int, hidden: int = 100, truncation: int = 100, proposals: int = 1024
    ) -> None:
        super().__init__()
        check_latent(latent)
        check_count("hidden", hidden)
        check_count("truncation", truncation)
        check_count("proposals", proposals)
        self.latent, self.truncation, self.proposals = latent, truncation, proposals
        self.acceptance = MLP(latent, 1, [hidden, hidden], "tanh")
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        base = dist.Normal(self.loc, self.scale).to_event(1)
        logits = self.acceptance(base.sample((self.proposals,)))
        log_mean = logsigmoid(logits).logsumexp((0, 1)) - math.log(self.proposals)
        return Resampled(base, self.acceptance, log_mean, self.truncation)
