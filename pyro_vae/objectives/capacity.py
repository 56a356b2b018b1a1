"""A KL that is held at a number of nats."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.schedules import Schedule
from pyro_vae.terms.counts import counted
from pyro_vae.terms.kl import KL
from pyro_vae.terms.table import Terms

from .argument_checks import check_mode, check_not_negative
from .base import Objective
from .weighted import observed_weight, total_kl, weighted_bound


class CapacityELBO(Objective):
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
        kl, particles, vectorize: see :class:`ELBO`.

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
    ) -> None:
        super().__init__(particles, vectorize)
        self.kl = check_mode(kl)
        for name, value in (("gamma", gamma), ("capacity", capacity)):
            self.add_weight(name, value)
            check_not_negative(name, getattr(self, name))

    def bound(self, terms: Terms) -> Tensor:
        examples = counted(terms)
        side = self.gamma * torch.sign(total_kl(terms, self.kl) / examples - self.capacity)
        # |KL - C| is side * (KL - C), and so is its gradient.
        plain = weighted_bound(terms, self.kl, observed_weight(1.0, side))
        return plain + (side * self.capacity * examples).to(plain.dtype)
