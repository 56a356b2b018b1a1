"""A number of nats that the KL may take for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_vae.estimators.base import Estimator, Pathwise
from pyro_vae.schedules import Schedule
from pyro_vae.terms.counts import batch_size, check_scale
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.factors import factors
from pyro_vae.terms.kl import KL, kl_term
from pyro_vae.terms.latents import latent_site, records
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms

from .argument_checks import check_not_negative, check_word
from .weighted import WeightedELBO

Per = Literal["dimension", "site"]


class FreeBits(WeightedELBO):
    r"""The ELBO, in which each group of latents may spend some nats for nothing.

    .. math:: \mathbb E_{q(z|x)}[\log p(x|z)] - \sum_j
        \max\bigl(\lambda,\; \mathbb E_{x \in \text{batch}}[\mathrm{KL}_j(x)]\bigr)

    The groups j are the latent dimensions, or whole sites. As in the paper the mean over the
    mini-batch (and over particles) is taken first, then the maximum, so that a group is free as
    long as it is little used on average. Summed and scaled as the ELBO is: the maximum counts once
    for each example, and for each that it stands for under subsampling. Where a group is below
    :math:`\lambda` its KL has no gradient.

    Kingma et al. 2016, *Improving Variational Inference with Inverse Autoregressive Flow*.

    Args:
        nats: :math:`\lambda`, at least 0, or a schedule; nats for each group and example.
        per: ``"dimension"`` for each latent dimension, where p and q are products over these (in
            closed form, or from log q - log p of each), or ``"site"``.
        site: the latent that has free bits; ``None`` for each of them.
        kl, particles, vectorize, estimator: see :class:`ELBO`; ``"dimension"`` needs the pathwise
            one at every site.

    Raises :class:`~pyro_vae.terms.ProgramError` for a site that all examples share, and with
    ``"dimension"`` for one that does not factorise or is not reparameterised; ``ValueError`` for
    ``nats`` below 0.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(0.0, 1.0).expand([2]).to_event(1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, 1.0).to_event(1))
    >>> x = torch.tensor([[2.0, 0.0]])                   # KLs of 2 and 0 nats
    >>> plain = FreeBits(0.0).loss(model, guide, x)
    >>> FreeBits(0.5, "dimension").loss(model, guide, x) - plain
    0.5
    >>> FreeBits(0.5, "site").loss(model, guide, x) - plain
    0.0
    """

    nats: Tensor

    def __init__(
        self,
        nats: float | Schedule = 0.1,
        per: Per = "dimension",
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
        estimator: str | Estimator | Mapping[str, str | Estimator] | None = None,
    ) -> None:
        super().__init__(kl, particles, vectorize, estimator)
        self.per = check_word("per", per, ("dimension", "site"))
        self.site = site
        self.takes_estimators = per == "site"
        self.add_weight("nats", nats)
        check_not_negative("nats", self.nats)

    def bound(self, terms: Terms) -> Tensor:
        closed = self.closed(terms)
        spent: Tensor | float = 0.0
        weights: dict[str, float | Tensor] = {}
        for site in self._sites(terms):
            count = site.scale_q * batch_size(terms)
            if self.per == "dimension":
                each = self._dimensions(terms, site, site.name in closed).mean((0, 1))
                spent = spent + count * torch.maximum(each, self.nats.to(each.dtype)).sum()
                weights[site.name] = 0.0
            else:
                mean = kl_term(site, site.name in closed).detach().mean()
                above = (mean > self.nats).to(mean.dtype)
                spent = spent + count * (1.0 - above) * self.nats.to(mean.dtype)
                weights[site.name] = above
        return self.weighted(terms, weights) - spent

    def _sites(self, terms: Terms) -> list[SiteTerm]:
        if self.site is not None and self.per == "dimension":
            site = latent_site(terms, self.site, "FreeBits")
            self._check_pathwise(terms)
            return [site]
        latents = terms.of_kind("latent")
        names = [site.name for site in latents]
        if self.site is not None and self.site not in names:
            raise ProgramError(
                f"FreeBits(site={self.site!r}): there is no such latent site; there are: "
                f"{', '.join(map(repr, names)) or 'none'}"
            )
        chosen = [site for site in latents if self.site in (None, site.name)]
        for site in chosen:
            if not site.per_example:
                raise ProgramError(
                    f"site {site.name!r} lies outside the data plate, and free bits are nats for "
                    "each example: name the latent that has them, FreeBits(site=...)"
                )
            if self.per == "dimension":
                latent_site(terms, site.name, "FreeBits")
        if self.per == "dimension":
            self._check_pathwise(terms)
        return chosen

    def _check_pathwise(self, terms: Terms) -> None:
        for name, estimator in self.choice.of(terms).items():
            if type(estimator) is not Pathwise:
                raise ProgramError(
                    f"site {name!r} takes estimator {estimator.name!r}, and free bits for each "
                    "dimension need 'pathwise' at every site: FreeBits(per='site') takes others"
                )

    def _dimensions(self, terms: Terms, site: SiteTerm, analytic: bool) -> Tensor:
        """The KL of each latent dimension, ``(particles, batch, latent)``."""
        check_scale(site)
        rows = []
        for p, q in records(terms, site):
            prior = factors(p["fn"], site.name, "model", "FreeBits(per='dimension')")
            posterior = factors(q["fn"], site.name, "guide", "FreeBits(per='dimension')")
            if analytic:
                each = kl_divergence(posterior, prior)
            else:
                each = posterior.log_prob(q["value"]) - prior.log_prob(q["value"])
            rows.append(each.reshape(-1, batch_size(terms), site.event_shape.numel()))
        return torch.cat(rows)
