"""The importance-weighted bound."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from pyro_vae.terms.log_weights import (
    estimate,
    log_mean_exp,
    log_p,
    require_reparameterized,
    summed,
    total,
    with_gradient,
)
from pyro_vae.terms.stopped import stopped_log_p, stopped_log_q
from pyro_vae.terms.table import Terms

from .base import Objective

Gradient = Literal["pathwise", "stl", "dreg"]
GRADIENTS = ("pathwise", "stl", "dreg")


class ImportanceWeightedELBO(Objective):
    r"""The bound of the importance-weighted autoencoder (IWAE), tighter with every particle,

    .. math:: \log p(x) \ge \mathbb E\Big[\log \frac1K \sum_{k=1}^K w_k\Big], \qquad
        w_k = \frac{p(x, z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x).

    Each example has its own weights, also in a mini-batch and under subsampling. Nats.

    With :math:`\tilde w_k = w_k / \sum_j w_j`, the gradients are

    * ``"pathwise"``: :math:`\sum_k \tilde w_k \nabla \log w_k`. Unbiased. Its signal-to-noise
      ratio in the guide's parameters *falls* with K (Rainforth et al. 2018). Where the guide's
      samples are not reparameterised, the score function with the leave-one-out baseline of VIMCO.
    * ``"stl"``, sticking the landing: the same without the derivative of log q in its parameters
      (:func:`~pyro_vae.terms.stopped.stopped_log_q`). No variance at the exact posterior.
      Unbiased for one particle; **biased for more**.
    * ``"dreg"``, doubly reparameterised: theta as above, phi by
      :math:`\sum_k \tilde w_k^2 \, \partial_z \log w_k \, dz_k/d\phi`. Unbiased, and the
      signal-to-noise ratio rises with K.

    Args:
        particles: K.
        gradient: the estimator.
        vectorize: draw the particles in one pass.

    Raises :class:`~pyro_vae.terms.ProgramError` naming the site, where ``"stl"`` or
    ``"dreg"`` is asked of samples that are not reparameterised, and where a latent lies outside
    the data plate.

    Source: Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders*; Mnih and
    Rezende 2016, *Variational Inference for Monte Carlo Objectives*; Roeder, Wu and Duvenaud 2017,
    *Sticking the Landing*; Tucker, Lawson, Gu and Maddison 2019, *Doubly Reparameterized Gradient
    Estimators for Monte Carlo Objectives*.

    >>> import pyro, pyro.distributions as dist, torch
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 4, 1.0))    # far from the posterior
    >>> x = torch.tensor([0.0, 2.0])                         # -log p(x) is 3.53 in all
    >>> _ = torch.manual_seed(0)
    >>> [round(ImportanceWeightedELBO(k).loss(model, guide, x), 1) for k in (1, 10_000)]
    [4.6, 3.5]
    """

    weighs_samples = True

    def __init__(
        self, particles: int = 5, gradient: Gradient = "pathwise", vectorize: bool = True
    ) -> None:
        if gradient not in GRADIENTS:
            raise ValueError(
                f"gradient is one of {', '.join(map(repr, GRADIENTS))}, not {gradient!r}"
            )
        super().__init__(particles, vectorize)
        self.gradient = gradient

    def bound(self, terms: Terms) -> Tensor:
        if self.gradient == "pathwise":
            return summed(terms, estimate(terms, log_mean_exp))
        require_reparameterized(terms, f"gradient={self.gradient!r}")
        log_weights = terms.log_weights
        value, weight = log_mean_exp(log_weights), log_weights.detach().softmax(0)
        p, stopped = log_p(terms), total(stopped_log_q(terms).values())
        if self.gradient == "stl":
            followed = weight * (p - stopped)
        else:
            through = total(stopped_log_p(terms).values())
            followed = weight * (p - through) + weight.square() * (through - stopped)
        return summed(terms, with_gradient(value, followed.sum(0)))

    def notes(self) -> list[str]:
        """What to know of this bound."""
        if self.gradient == "stl" and self.particles > 1:
            return [
                f"the gradient of phi is biased: 'stl' leaves out a term that averages to zero for "
                f"one particle, but not for {self.particles}; 'dreg' is unbiased"
            ]
        return []
