"""The ELBO with the covariance of the aggregate posterior held to the identity."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Independent

from pyro_vae.schedules import Schedule
from pyro_vae.terms.counts import batch_size
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL, family
from pyro_vae.terms.latents import records
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms

from .argument_checks import check_not_negative, check_word
from .regularised import RegularisedELBO

Kind = Literal["i", "ii"]


class DIPELBO(RegularisedELBO):
    r"""DIP-VAE: the ELBO, less a penalty on the covariance C of the aggregate posterior.

    .. math:: \mathrm{ELBO} - \lambda_{od} \sum_{i \ne j} C_{ij}^2
        - \lambda_d \sum_i (C_{ii} - 1)^2

    ``"i"`` takes the covariance of the means, :math:`C = \mathrm{Cov}_x[\mu(x)]`, ``"ii"`` that of
    z itself, :math:`C = \mathbb E_x[\Sigma(x)] + \mathrm{Cov}_x[\mu(x)]`, both over the mini-batch
    (divided by its size, as the paper's). The means and covariances are those of q(z|x) in closed
    form. Its minimum assumes a prior with covariance 1.

    Kumar, Sattigeri and Balakrishnan 2018, *Variational Inference of Disentangled Latent Concepts
    from Unlabeled Observations*, which sets :math:`\lambda_d = 10 \lambda_{od}` for ``"i"`` and
    :math:`\lambda_d = \lambda_{od}` for ``"ii"``.

    Args:
        kind: ``"i"`` or ``"ii"``.
        off_diagonal: :math:`\lambda_{od}`, at least 0, or a schedule.
        diagonal: :math:`\lambda_d`, at least 0, or a schedule.
        site: the latent, where there are several.
        kl, particles, vectorize: see :class:`ELBO`.

    Raises :class:`~pyro_vae.terms.ProgramError` where q(z|x) has no mean or covariance in
    closed form, such as a flow; ``ValueError`` for weights below 0 (of schedules: at their start).

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(0.0, 1.0).expand([2]).to_event(1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, 0.5).to_event(1))
    >>> x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])   # means with covariances of 1 everywhere
    >>> plain = DIPELBO("i", 0.0, 0.0).loss(model, guide, x)
    >>> round(DIPELBO("i", 10.0, 10.0).loss(model, guide, x) - plain, 3)     # 2 x 10 (1 + 1)
    40.0
    """

    off_diagonal: Tensor
    diagonal: Tensor

    def __init__(
        self,
        kind: Kind = "ii",
        off_diagonal: float | Schedule = 10.0,
        diagonal: float | Schedule = 10.0,
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(site, kl, particles, vectorize)
        self.kind = check_word("kind", kind, ("i", "ii"))
        for name, value in (("off_diagonal", off_diagonal), ("diagonal", diagonal)):
            self.add_weight(name, value)
            check_not_negative(name, getattr(self, name))

    def penalty(self, terms: Terms, site: SiteTerm) -> Tensor:
        covariance = self._covariance(terms, site)
        variances = covariance.diagonal(dim1=-2, dim2=-1)
        own = (variances - 1.0).square().sum(-1).mean()
        # The sum of squares less that of the diagonal would lose the small ones.
        off = (covariance - torch.diag_embed(variances)).square().sum((-2, -1)).mean()
        return self.off_diagonal.to(off.dtype) * off + self.diagonal.to(own.dtype) * own

    def _covariance(self, terms: Terms, site: SiteTerm) -> Tensor:
        """Of the aggregate over the mini-batch, ``(particles, latent, latent)``."""
        found = []
        for _, q in records(terms, site):
            shape = (terms.particles // len(terms.traces), batch_size(terms))
            mean = _known(q["fn"], "mean", site.name).reshape(*shape, -1)
            centred = mean - mean.mean(-2, keepdim=True)
            covariance = centred.mT @ centred / shape[1]
            if self.kind == "ii":
                own = _own_covariance(q["fn"], site.name, mean.shape)
                covariance = covariance + own.reshape(*shape, *own.shape[-2:]).mean(-3)
            found.append(covariance)
        return torch.cat(found)


def _own_covariance(fn: Any, name: str, shape: torch.Size) -> Tensor:
    """The covariance of each example's posterior, in the shape of its batch."""
    base = fn
    while isinstance(base, Independent):
        base = base.base_dist
    if not base.event_shape:
        return torch.diag_embed(_known(fn, "variance", name).reshape(shape))
    return _known(base, "covariance_matrix", name)


def _known(fn: Any, what: str, name: str) -> Tensor:
    try:
        found: Tensor = getattr(fn, what)
    except (NotImplementedError, AttributeError) as error:
        raise ProgramError(
            f"site {name!r} does not suit DIPELBO: {family(fn)} in the guide has no {what} in "
            "closed form, as DiagonalNormal and FullCovarianceNormal have"
        ) from error
    return found
