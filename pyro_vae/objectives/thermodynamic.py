"""log p(x) as an integral from the guide to the posterior."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from pyro_vae.terms.log_weights import log_q, summed, with_gradient
from pyro_vae.terms.table import Terms

from .fixed_samples import FixedSamples, require_fixed


class ThermodynamicELBO(FixedSamples):
    r"""The thermodynamic variational objective (TVO), a sum under a rising curve,

    .. math::
        \log p(x) = \int_0^1 \mathbb E_{\pi_\beta}[\log w]\, d\beta
        \ge \sum_{i=0}^{P-1} (\beta_{i+1} - \beta_i)\, \mathbb E_{\pi_{\beta_i}}[\log w],
        \qquad \pi_\beta \propto q(z|x)\, w^\beta, \quad w = \frac{p(x, z)}{q(z|x)}.

    The first term is the ELBO. Expectations are taken with K samples of q, weighted by
    :math:`w^\beta` and normalised, so the estimate is biased by a term of order 1/K. Nats.

    The gradient is that of the paper, at fixed samples, so latents may be discrete:

    .. math:: \nabla \mathbb E_{\pi_\beta}[f] = \mathbb E_{\pi_\beta}[\nabla f]
        + \mathrm{Cov}_{\pi_\beta}\big[\nabla \log(q\, w^\beta),\, f\big], \qquad f = \log w.

    Args:
        particles: K, at least 2: the covariance of one sample is 0.
        partitions: P, the number of terms. One is the ELBO.
        first: :math:`\beta_1`, in (0, 1); from there to 1 the points are spaced evenly on the
            logarithmic scale.
        vectorize: draw the particles in one pass.

    Raises ``ValueError`` for other numbers, and :class:`~pyro_vae.terms.ProgramError` where a
    latent lies outside the data plate.

    Source: Masrani, Le and Wood 2019, *The Thermodynamic Variational Objective*.

    >>> [round(beta, 2) for beta in ThermodynamicELBO(partitions=3, first=0.04).betas]
    [0.0, 0.04, 0.2, 1.0]
    """

    def __init__(
        self,
        particles: int = 10,
        partitions: int = 5,
        first: float = 0.1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(particles, vectorize)
        if particles < 2:
            raise ValueError("particles is at least 2: the covariance of one sample is 0")
        if not isinstance(partitions, int) or partitions < 1:
            raise ValueError(f"partitions is a whole number of at least 1, not {partitions!r}")
        if not 0.0 < first < 1.0:
            raise ValueError(f"first lies between 0 and 1, not {first!r}")
        self.partitions, self.first = partitions, first

    @property
    def betas(self) -> list[float]:
        """The points from 0 to 1, one more than there are terms."""
        p = self.partitions
        return [0.0, *(self.first ** ((p - i) / (p - 1)) for i in range(1, p)), 1.0]

    def bound(self, terms: Terms) -> Tensor:
        require_fixed(terms)
        log_weights, log_guide = terms.log_weights, log_q(terms)
        known = log_weights.detach()
        points = self.betas
        value, followed = torch.zeros_like(known[0]), torch.zeros_like(known[0])
        for beta, following in pairwise(points):
            weight = (beta * known).softmax(0)
            mean = (weight * known).sum(0)
            density = log_guide + beta * log_weights
            covariance = weight * (known - mean) * density
            value = value + (following - beta) * mean
            followed = followed + (following - beta) * (weight * log_weights + covariance).sum(0)
        return summed(terms, with_gradient(value, followed))

    def notes(self) -> list[str]:
        """What to know of this bound."""
        return [
            f"bound and gradient are self-normalised over {self.particles} particles, and biased "
            "by a term of order 1 / particles"
        ]
