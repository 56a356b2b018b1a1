"""The ELBO with a weight on each site, whose gradient is that of the weighted bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.distributions.util import is_identically_zero
from pyro.infer.util import MultiFrameTensor
from torch import Tensor

from pyro_vae.terms.counts import check_scale
from pyro_vae.terms.kl import KL, analytic_sites, kl_term
from pyro_vae.terms.site import SiteTerm, common_scale, log_prob, score_parts
from pyro_vae.terms.table import Terms

Weight = float | Tensor


def weighted_bound(terms: Terms, kl: KL, weight: Callable[[SiteTerm], Weight]) -> Tensor:
    r"""The ELBO in which each site's term counts as often as its weight says.

    .. math:: \sum_{\text{observed}} w_s \log p_s
        - \sum_{\text{latent, auxiliary}} w_s \mathrm{KL}_s

    Summed over the batch and scaled, averaged over particles. A weight stands once, before the
    KL, whether that is taken in closed form or sampled, and in the score function's cost where a
    site is not reparameterised. Weights have no dimensions, and no gradient is taken of them. The
    number 0 leaves a term out; a tensor that is 0 multiplies it.

    Raises :class:`ProgramError` where a latent's log p and log q are scaled differently: such a KL
    has no one weight.
    """
    sites = list(terms.values())
    weights = {site.name: weight(site) for site in sites}
    analytic = analytic_sites(terms, kl)
    value: Tensor | float = 0.0
    followed: Tensor | float = 0.0  # what autograd sees where it is not the value
    for site in sites:
        check_scale(site)
        w = weights[site.name]
        if isinstance(w, float) and w == 0.0:
            continue
        if site.name in analytic:
            value = value - _times(w, site.scale_q * kl_term(site, analytic=True).sum())
            continue
        if site.log_p is not None:
            value = value + _times(w, site.scale_p * site.log_p.sum())
        if site.log_q is not None and site.entropy is not None:
            value = value - _times(w, site.scale_q * site.log_q.sum())
            if site.entropy is not site.log_q:
                rest = site.scale_q * (site.log_q - site.entropy).sum()
                followed = followed + _times(w, rest)
    total = torch.as_tensor(value) / terms.particles
    if all(site.reparameterized for site in terms.of_kind("latent", "auxiliary")):
        return total
    surrogate = (followed + weighted_score_function(terms, weights)) / terms.particles
    return total + (surrogate - surrogate.detach())


def weighted_score_function(terms: Terms, weights: Mapping[str, Weight]) -> Tensor:
    """The score-function surrogate of the weighted bound.

    As in the ELBO, the score of a site is multiplied by the terms inside its own plates; here
    each of them with its weight, so that what is followed is the bound that is reported.
    """
    total: Tensor | float = 0.0
    for model_trace, guide_trace in terms.traces:
        scores = [
            (site, score_parts(site).score_function)
            for site in guide_trace.nodes.values()
            if site["type"] == "sample" and not site["fn"].has_rsample  # type: ignore[attr-defined]
        ]
        cost = MultiFrameTensor()
        for name, row in terms.items():
            guide_site = None if row.kind == "observed" else guide_trace.nodes.get(name)
            site, term = _term(model_trace.nodes.get(name), guide_site)
            frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
            cost.add((frames, _times(weights[name], term.detach())))
        for site, score in scores:
            if not is_identically_zero(score):
                total = total + (cost.sum_to(site["cond_indep_stack"]) * score).sum()
    return torch.as_tensor(total)


def observed_weight(value: Weight, latent: Weight) -> Callable[[SiteTerm], Weight]:
    """One weight for what is observed, another for every KL."""
    return lambda site: value if site.kind == "observed" else latent


def total_kl(terms: Terms, kl: KL) -> Tensor:
    """The KL of all latent and auxiliary sites, summed over the batch and scaled; no gradient."""
    analytic = analytic_sites(terms, kl)
    total: Tensor | float = 0.0
    for site in terms.of_kind("latent", "auxiliary"):
        rows = kl_term(site, site.name in analytic).detach()
        total = total + site.scale_q * rows.sum() / terms.particles
    return torch.as_tensor(total)


def _term(model_site: Any, guide_site: Any) -> tuple[Any, Tensor]:
    """A site, and its log p - log q in the shape of its plates, scaled."""
    term: Tensor | float = 0.0
    if model_site is not None:
        term = log_prob(model_site) * common_scale(model_site)
    if guide_site is not None:
        term = term - log_prob(guide_site) * common_scale(guide_site)
    return (guide_site if model_site is None else model_site), torch.as_tensor(term)


def _times(weight: Weight, term: Tensor) -> Tensor:
    """A double without dimensions would make a single one without dimensions double."""
    return term * (weight.to(term.dtype) if isinstance(weight, Tensor) else weight)
