"""The ELBO of a term table, with the gradient that each site's estimator gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL, analytic_sites
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.stopped import stopped_log_q
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weight, Weights, times

from .base import Estimator, Pathwise, StickingTheLanding
from .discrete import Enumerate, GumbelSoftmax
from .relaxation import check_relaxed
from .score import Baseline, score_surrogate, unscored_log_q

Chosen = Mapping[str, Estimator]


def elbo_value(terms: Terms, closed: set[str], weights: Weights) -> Tensor:
    r"""The weighted ELBO, summed over the batch and scaled, averaged over particles.

    .. math:: \sum_{\text{observed}} w_s \log p_s
        - \sum_{\text{latent, auxiliary}} w_s \mathrm{KL}_s

    The KL of sites in ``closed`` is taken in closed form, that of others is log q - log p.
    """
    total: Tensor | float = 0.0
    for site, w in counting(terms, weights):
        if site.name in closed:
            assert site.kl is not None
            total = total - times(w, site.scale_q * site.kl.sum())
            continue
        if site.log_p is not None:
            total = total + times(w, site.scale_p * site.log_p.sum())
        if site.log_q is not None:
            total = total - times(w, site.scale_q * site.log_q.sum())
    return torch.as_tensor(total) / terms.particles


def elbo_estimate(
    terms: Terms, closed: set[str], chosen: Chosen, baseline: Baseline, weights: Weights
) -> Tensor:
    """The same value, with the estimators' gradient.

    What autograd is to see beside the value is added with its own value taken away.
    """
    total = elbo_value(terms, closed, weights)
    other: Tensor | float = 0.0
    stopped = None
    for site, w in counting(terms, weights):
        if site.name not in chosen or site.name in closed:
            continue
        estimator = chosen[site.name]
        assert site.log_q is not None
        if isinstance(estimator, StickingTheLanding):
            stopped = stopped_log_q(terms) if stopped is None else stopped
            unseen = stopped[site.name]
        elif estimator.scored:
            unseen = unscored_log_q(terms, site.name)
        else:
            continue
        other = other + times(w, site.scale_q * (site.log_q - unseen).sum())
    other = other + score_surrogate(terms, chosen, baseline, weights)
    if not isinstance(other, Tensor):
        return total
    other = other / terms.particles
    return total + (other - other.detach())


def counting(terms: Terms, weights: Weights) -> Iterator[tuple[SiteTerm, Weight]]:
    """The sites that are not left out, each with its weight."""
    for site in terms.values():
        w = weights.get(site.name, 1.0)
        if isinstance(w, Tensor) or w != 0.0:
            yield site, w


def closed_sites(terms: Terms, chosen: Chosen, kl: KL) -> set[str]:
    """Sites whose KL is taken in closed form: where it is valid, and the estimator allows it.

    Raises :class:`ProgramError` where estimators exclude each other or the ``kl`` asked for.
    """
    closed = set()
    if kl == "analytic":
        for name, estimator in chosen.items():
            if type(estimator) is not Pathwise and terms[name].reparameterized:
                raise ProgramError(
                    f"site {name!r} cannot take estimator {estimator.name!r}: it estimates the "
                    "gradient of a sampled KL; use ELBO(kl='auto') or ELBO(kl='sampled')"
                )
    for name in analytic_sites(terms, kl):
        if type(chosen[name]) is Pathwise:
            closed.add(name)
    enumerated = [name for name, e in chosen.items() if isinstance(e, Enumerate)]
    for name, estimator in chosen.items():
        if isinstance(estimator, GumbelSoftmax):
            check_relaxed(terms, terms[name], estimator.name, kl)
            closed.add(name)
        elif isinstance(estimator, StickingTheLanding) and enumerated:
            raise ProgramError(
                f"site {name!r} cannot take estimator 'stl' while {enumerated[0]!r} is "
                f"enumerated; use 'pathwise' at {name!r}"
            )
    return closed
