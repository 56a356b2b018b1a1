"""The ELBO with a total correlation that a critic estimates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_vae.schedules import Schedule
from pyro_vae.terms.kl import KL
from pyro_vae.terms.latents import posterior_draws
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms

from .argument_checks import check_not_negative
from .critic import CriticELBO


class FactorELBO(CriticELBO):
    r"""FactorVAE: the ELBO, less a weight on the total correlation of the aggregate posterior.

    .. math:: \mathrm{ELBO} - \gamma\, \mathrm{KL}\Bigl(q(z) \,\Big\|\, \prod_d q(z_d)\Bigr)

    The divergence is the mean logit over z of a critic that tells z of q(z) from z whose
    dimensions are shuffled over the mini-batch, each by itself: draws of the product. The paper
    shuffles a second mini-batch; here it is the same one, so that a step needs one pass.

    Kim and Mnih 2018, *Disentangling by Factorising*.

    Args:
        gamma: the weight, at least 0, or a schedule.
        critic: from z ``(*, latent)`` to logits ``(*, 1)`` or ``(*,)``; ``None`` for an MLP.
        critic_lr: its learning rate in :func:`pyro_vae.fit`; ``None`` for that of the model.
        site: the latent, where there are several.
        kl, particles, vectorize: see :class:`ELBO`.

    Raises ``ValueError`` for a weight below 0 (of a schedule: at its start).

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, 0.1).to_event(1))
    >>> objective = FactorELBO(gamma=6.0)
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), objective)
    >>> loss = svi.step(torch.randn(20, 2))            # trains the critic too
    >>> len(list(objective.critic.parameters()))
    6
    """

    gamma: Tensor

    def __init__(
        self,
        gamma: float | Schedule = 6.0,
        critic: nn.Module | None = None,
        critic_lr: float | None = None,
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(critic, critic_lr, site, kl, particles, vectorize)
        self.add_weight("gamma", gamma)
        check_not_negative("gamma", self.gamma)

    def penalty(self, terms: Terms, site: SiteTerm) -> Tensor:
        z = posterior_draws(terms, site)
        correlation = self.held(z).mean()
        return self.gamma.to(z.dtype) * correlation + self.own_loss(z, shuffled(z.detach()))


def shuffled(z: Tensor) -> Tensor:
    """Each dimension in an order of its own over the examples, ``(particles, batch, latent)``.

    >>> z = torch.arange(6.0).reshape(1, 3, 2)
    >>> torch.equal(shuffled(z).sort(1).values, z)
    True
    """
    return z.gather(-2, torch.rand_like(z).argsort(-2))
