"""A weight on the KL of each latent, for hierarchies."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from pyro_vae.estimators.base import Estimator
from pyro_vae.schedules import Schedule
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL
from pyro_vae.terms.table import Terms

from .argument_checks import check_not_negative
from .weighted import WeightedELBO


class SiteBetaELBO(WeightedELBO):
    r"""The evidence lower bound with a weight on the KL of each latent that is named.

    .. math:: \mathbb E_q[\log p(x|z)] - \sum_l \beta_l\, \mathrm{KL}_l, \qquad
              \mathrm{KL}_l = \mathbb E_q[\log q(z_l|\cdot) - \log p(z_l|\cdot)]

    With schedules it is layer-wise warm-up: the upper layers of a hierarchy, which learn from what
    those below pass on, are let in first and charged for last. Latents that are not named count
    once. Free bits for one layer are ``FreeBits(nats, per="site", site="z2")``.

    Sønderby et al. 2016, *Ladder Variational Autoencoders*, section 2.3 (warm-up).

    Args:
        betas: from the names of latent sites to weights of at least 0, or schedules.
        kl: how the KL is taken, see :class:`ELBO`.
        particles: samples of the guide for each example.
        vectorize: draw them in one pass.
        estimator: how gradients go through the guide's samples, see :class:`ELBO`.

    Raises ``ValueError`` for a weight below 0 (of a schedule: at its start) or no name at all, and
    :class:`~pyro_vae.terms.ProgramError` for a name that is no latent site.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z2 = pyro.sample("z2", dist.Normal(0.0, 1.0))
    ...         z1 = pyro.sample("z1", dist.Normal(z2, 1.0))
    ...         pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         z2 = pyro.sample("z2", dist.Normal(2.0, 1.0))       # a KL of 2 nats
    ...         pyro.sample("z1", dist.Normal(z2, 1.0))             # and none
    >>> x = torch.zeros(1)
    >>> [round(SiteBetaELBO({"z2": beta}).loss(model, guide, x), 4) for beta in (0, 1, 4)]
    [0.9189, 2.9189, 8.9189]
    """

    def __init__(
        self,
        betas: dict[str, float | Schedule],
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
        estimator: str | Estimator | Mapping[str, str | Estimator] | None = None,
    ) -> None:
        super().__init__(kl, particles, vectorize, estimator)
        if not betas:
            raise ValueError("betas is empty: name the latents that have a weight, {'z2': 0.5}")
        self.sites = tuple(betas)
        for name, beta in betas.items():
            self.add_weight(self._name(name), beta)
            check_not_negative(f"beta of {name!r}", getattr(self, self._name(name)))

    def bound(self, terms: Terms) -> torch.Tensor:
        latents = [site.name for site in terms.of_kind("latent", "auxiliary")]
        for name in self.sites:
            if name not in latents:
                raise ProgramError(
                    f"SiteBetaELBO has a weight for {name!r}, and there is no such latent site; "
                    f"there are: {', '.join(map(repr, latents)) or 'none'}"
                )
        return self.weighted(terms, {name: getattr(self, self._name(name)) for name in self.sites})

    @staticmethod
    def _name(site: str) -> str:
        # A buffer's name holds no dots, as those of Pyro's sites may.
        return f"beta_{site.replace('.', '_')}"
