"""A weight on the KL."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pyro_vae.estimators.base import Estimator
from pyro_vae.schedules import Schedule
from pyro_vae.terms.kl import KL
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import each

from .argument_checks import check_not_negative
from .weighted import WeightedELBO


class BetaELBO(WeightedELBO):
    r"""The evidence lower bound with a weight on its KL.

    .. math:: \mathbb E_{q(z|x)}[\log p(x|z)] - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))

    The weight stands once before the KL of every latent, whether that is taken in closed form or
    sampled, in whichever program it is written, and in the cost of the score function of discrete
    latents. With beta = 1 it is the ELBO; above, less is encoded and coordinates tend to separate;
    below, more is, as for a narrower likelihood. From 0 on, with a schedule, it is KL annealing.

    Higgins et al. 2017, *beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework*; Bowman et al. 2016, *Generating Sentences from a Continuous Space* (annealing).

    Args:
        beta: the weight, at least 0, or a schedule of it.
        kl: how the KL is taken, see :class:`ELBO`.
        particles: samples of the guide for each example.
        vectorize: draw them in one pass.
        estimator: how gradients go through the guide's samples, see :class:`ELBO`.

    Raises ``ValueError`` for a weight below 0 (of a schedule: at its start).

    >>> import pyro, torch, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, 1.0))
    >>> x = torch.tensor([2.0])                          # the KL is 2 nats
    >>> [round(BetaELBO(beta).loss(model, guide, x), 4) for beta in (0, 1, 4)]
    [2.9189, 4.9189, 10.9189]
    """

    beta: Tensor

    def __init__(
        self,
        beta: float | Schedule = 1.0,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
        estimator: str | Estimator | Mapping[str, str | Estimator] | None = None,
    ) -> None:
        super().__init__(kl, particles, vectorize, estimator)
        self.add_weight("beta", beta)
        check_not_negative("beta", self.beta)

    def bound(self, terms: Terms) -> Tensor:
        return self.weighted(terms, each(terms, latent=self.beta))
