"""Reconstruction, with the aggregate posterior held to the prior by a critic."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vae.schedules import Schedule
from pyro_vae.terms.kl import KL
from pyro_vae.terms.latents import check_prior_is_fixed, posterior_draws, prior_draws
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weight

from .argument_checks import check_not_negative
from .critic import CriticELBO


class AdversarialELBO(CriticELBO):
    r"""The adversarial autoencoder.

    .. math:: \mathbb E_{q(z|x)}[\log p(x|z)]
        - \lambda\, \bigl(\mathbb E_{q(z)}[\log(1 + e^{\ell(z)})] - \log 2\bigr)

    A critic with logit :math:`\ell` tells z of the aggregate posterior from draws of the prior;
    the guide learns to make z that it takes for the prior's (the loss of a generator that does
    not saturate). Its penalty is 0 where the critic cannot tell. No KL is taken of this latent, so
    any reparameterised q(z|x) will do, also one without a density. It is no bound on log p(x);
    what is reported beside it is the ELBO. The prior learns nothing from it and must be fixed.

    Makhzani, Shlens, Jaitly, Goodfellow and Frey 2016, *Adversarial Autoencoders*.

    Args:
        scale: :math:`\lambda`, at least 0, or a schedule.
        critic: from z ``(*, latent)`` to logits ``(*, 1)`` or ``(*,)``; ``None`` for an MLP.
        critic_lr: its learning rate in :func:`pyro_vae.fit`; ``None`` for that of the model.
        site: the latent, where there are several.
        kl: of the other latents and of what is reported, see :class:`ELBO`.
        particles, vectorize: see :class:`ELBO`.

    Raises :class:`~pyro_vae.terms.ProgramError` where the prior has trainable parameters;
    ``ValueError`` for a weight below 0 (of a schedule: at its start).

    >>> import pyro, torch, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, 0.1).to_event(1))
    >>> objective = AdversarialELBO(scale=1.0)
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), objective)
    >>> loss = svi.step(torch.randn(20, 2))            # trains the critic too
    >>> objective.warnings()                           # of a critic that won or collapsed
    []
    """

    scale: Tensor

    def __init__(
        self,
        scale: float | Schedule = 1.0,
        critic: nn.Module | None = None,
        critic_lr: float | None = None,
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(critic, critic_lr, site, kl, particles, vectorize)
        self.add_weight("scale", scale)
        check_not_negative("scale", self.scale)

    def kl_weight(self) -> Weight:
        return 0.0

    def penalty(self, terms: Terms, site: SiteTerm) -> Tensor:
        check_prior_is_fixed(terms, site, "AdversarialELBO")
        z = posterior_draws(terms, site)
        told = softplus(self.held(z)).mean() - math.log(2.0)
        return self.scale.to(z.dtype) * told + self.own_loss(z, prior_draws(terms, site))
