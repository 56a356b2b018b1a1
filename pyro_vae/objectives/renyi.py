"""The family of bounds between the two."""

from __future__ import annotations

import math

from torch import Tensor

from pyro_vae.terms.log_weights import estimate, log_mean_exp, summed
from pyro_vae.terms.table import Terms

from .base import Objective


class RenyiELBO(Objective):
    r"""The variational Renyi bound of order alpha,

    .. math::
        \mathcal L_\alpha = \frac{1}{1-\alpha} \log \mathbb E_q
        \Big[\Big(\frac{p(x, z)}{q(z|x)}\Big)^{1-\alpha}\Big]
        \approx \frac{1}{1-\alpha} \log \frac1K \sum_k w_k^{1-\alpha},

    which falls as alpha rises: log p(x) at 0, the ELBO at 1, and for alpha below 0 an *upper* bound
    of log p(x). Its estimate from K samples lies below it in the mean, by Jensen's inequality: at
    ``alpha=0`` it is the importance-weighted bound. Nats.

    Each example has its own weights, also under subsampling, where ``pyro.infer.RenyiELBO`` takes
    the plate's scale into the power, and has no bound at all.

    Args:
        alpha: the order, any number.
        particles: K.
        vectorize: draw them in one pass.

    Raises ``ValueError`` for an alpha that is not finite, and
    :class:`~pyro_vae.terms.ProgramError` where a latent lies outside the data plate.

    Source: Li and Turner 2016, *Renyi Divergence Variational Inference*.

    >>> import torch
    >>> log_weights = torch.tensor([[0.0], [1.0]])
    >>> [round(RenyiELBO(alpha).power_mean(log_weights).item(), 3) for alpha in (1, 0, -10)]
    [0.5, 0.62, 0.937]
    """

    weighs_samples = True

    def __init__(self, alpha: float = 0.0, particles: int = 5, vectorize: bool = True) -> None:
        if not math.isfinite(alpha):
            raise ValueError(f"alpha is a finite number, not {alpha!r}")
        super().__init__(particles, vectorize)
        self.alpha = float(alpha)

    def bound(self, terms: Terms) -> Tensor:
        return summed(terms, estimate(terms, self.power_mean))

    def power_mean(self, log_weights: Tensor) -> Tensor:
        """From ``(particles, *batch)`` log weights to ``(*batch,)``."""
        if self.alpha == 1.0:
            return log_weights.mean(0)
        power = 1.0 - self.alpha
        return log_mean_exp(power * log_weights) / power

    def notes(self) -> list[str]:
        """What to know of this bound."""
        if self.alpha < 0.0:
            return [
                f"at alpha={self.alpha:g} the bound lies above log p(x), and raising it need not "
                "raise the evidence; its estimate from few particles lies below it"
            ]
        return []
