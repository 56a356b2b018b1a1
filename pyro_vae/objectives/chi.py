"""A bound on log p(x) from above."""

from __future__ import annotations

import math

from torch import Tensor

from pyro_vae.terms.log_weights import log_mean_exp, log_p, log_q, summed, with_gradient
from pyro_vae.terms.table import Terms

from .fixed_samples import FixedSamples, require_fixed


class ChiUpperBound(FixedSamples):
    r"""The chi upper bound (CUBO), which with any lower bound holds log p(x) between the two,

    .. math:: \log p(x) \le \frac1n \log \mathbb E_q\Big[\Big(\frac{p(x, z)}{q(z|x)}\Big)^n\Big]
        \approx \frac1n \log \frac1K \sum_k w_k^n.

    The bound is that of the expectation. Its estimate lies *below* the bound in the mean, by
    Jensen's inequality: a sandwich needs particles enough that the estimate stops rising. Where q
    has thinner tails than the posterior, the expectation may be infinite. Nats.

    ``bound`` has the estimate for its value; what a step that "maximises" it does is this:

    * phi makes the upper bound *smaller*. With weights :math:`v_k \propto w_k^n` at fixed samples,
      the negative of the bound's gradient is
      :math:`\frac{n-1}{n} \sum_k v_k \nabla_\phi \log q(z_k|x)`, which draws q over the
      whole posterior. (The slope of the estimate itself would drive few samples away from
      the posterior, where the estimate is small.)
    * theta must neither lower an upper bound (that unlearns the data) nor raise one (that need not
      raise log p). It follows the importance-weighted *lower* bound of the same samples,
      :math:`\sum_k \tilde w_k \nabla_\theta \log p(x, z_k)` with :math:`\tilde w_k \propto w_k`.

    Both gradients are self-normalised estimates, biased by a term of order 1/K. Latents may be
    discrete.

    Args:
        order: n, more than 1; the larger, the looser.
        particles: K, at least 2.
        vectorize: draw them in one pass.

    Raises ``ValueError`` for other numbers, and :class:`~pyro_vae.terms.ProgramError` where a
    latent lies outside the data plate.

    Source: Dieng, Tran, Ranganath, Paisley and Blei 2017, *Variational Inference via chi Upper
    Bound Minimization*.

    >>> import torch
    >>> round(ChiUpperBound(order=2).power_mean(torch.tensor([[0.0], [1.0]])).item(), 3)
    0.717
    """

    def __init__(self, order: float = 2.0, particles: int = 50, vectorize: bool = True) -> None:
        if not (order > 1.0 and math.isfinite(order)):
            raise ValueError(f"order is a number above 1, not {order!r}")
        super().__init__(particles, vectorize)
        if particles < 2:
            raise ValueError("particles is at least 2: one sample says nothing of the bound")
        self.order = float(order)

    def bound(self, terms: Terms) -> Tensor:
        require_fixed(terms)
        log_weights = terms.log_weights
        known = log_weights.detach()
        upper = (self.order * known).softmax(0) * log_q(terms)
        lower = known.softmax(0) * log_p(terms)
        followed = lower + (self.order - 1.0) / self.order * upper
        return summed(terms, with_gradient(self.power_mean(log_weights), followed.sum(0)))

    def power_mean(self, log_weights: Tensor) -> Tensor:
        """The estimate: from ``(particles, *batch)`` log weights to ``(*batch,)``."""
        return log_mean_exp(self.order * log_weights) / self.order

    def notes(self) -> list[str]:
        """What to know of this bound."""
        return [
            "the bound lies above log p(x): steps make it smaller in phi, and theta follows the "
            "importance-weighted lower bound of the same samples",
            f"its estimate from {self.particles} particles lies below it in the mean",
        ]
