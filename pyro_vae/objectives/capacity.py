"""A KL that is held at a number of nats."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyro_vae.estimators.base import Estimator
from pyro_vae.schedules import Schedule
from pyro_vae.terms.counts import counted
from pyro_vae.terms.kl import KL, kl_term
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import each

from .argument_checks import check_not_negative
from .weighted import WeightedELBO


class CapacityELBO(WeightedELBO):
    r"""Reconstruction, with the KL held at a capacity that is raised in training.

    .. math:: \mathbb E_{q(z|x)}[\log p(x|z)]
        - \gamma\, \bigl|\overline{\mathrm{KL}} - C\bigr|

    :math:`\overline{\mathrm{KL}}` is the mean over the examples of the mini-batch, of all latents
    together, as in the paper: single examples may spend more or less than C. A latent that all
    examples share enters with an example's part of it. Summed over the batch and scaled: the term
    counts once for each example.

    The gradient is that of a weight :math:`\gamma` on the KL above the capacity and
    :math:`-\gamma` below, also for latents that need the score function.

    Burgess et al. 2018, *Understanding Disentangling in beta-VAE*.

    Args:
        gamma: the weight, at least 0, or a schedule of it; the paper's is 1000.
        capacity: C in nats per example, at least 0, or a schedule such as
            ``Linear(100_000, 0.0, 25.0)``.
        kl, particles, vectorize, estimator: see :class:`ELBO`.

    Raises ``ValueError`` for a number below 0 (of a schedule: at its start).

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, 1.0))
    >>> x = torch.tensor([2.0, 0.0])                     # KLs of 2 and 0 nats, 1 on average
    >>> round(CapacityELBO(1000.0, 1.0).loss(model, guide, x), 3)    # -log p(x|z) alone
    3.838
    >>> round(CapacityELBO(1000.0, 1.5).loss(model, guide, x), 3)    # and half a nat for each
    1003.838
    """

    gamma: Tensor
    capacity: Tensor

    def __init__(
        self,
        gamma: float | Schedule = 1000.0,
        capacity: float | Schedule = 25.0,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
        estimator: str | Estimator | Mapping[str, str | Estimator] | None = None,
    ) -> None:
        super().__init__(kl, particles, vectorize, estimator)
        for name, value in (("gamma", gamma), ("capacity", capacity)):
            self.add_weight(name, value)
            check_not_negative(name, getattr(self, name))

    def bound(self, terms: Terms) -> Tensor:
        examples = counted(terms)
        side = self.gamma * torch.sign(self._kl(terms) / examples - self.capacity)
        # |KL - C| is side * (KL - C), and so is its gradient.
        plain = self.weighted(terms, each(terms, latent=side))
        return plain + (side * self.capacity * examples).to(plain.dtype)

    def _kl(self, terms: Terms) -> Tensor:
        """The KL of all sites of the guide, summed over the batch and scaled; no gradient."""
        closed = self.closed(terms)
        total: Tensor | float = 0.0
        for site in terms.of_kind("latent", "auxiliary"):
            rows = kl_term(site, site.name in closed).detach()
            total = total + site.scale_q * rows.sum() / terms.particles
        return torch.as_tensor(total)
