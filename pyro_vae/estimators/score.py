"""The score function's part of a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.distributions.util import is_identically_zero, scale_and_mask
from pyro.infer.util import MultiFrameTensor
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_vae.terms.passes import PARTICLES
from pyro_vae.terms.site import common_scale, log_prob, score_parts
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weights, times

from .base import Estimator
from .discrete import GumbelSoftmax
from .enumeration import Marginal, marginals_of

#: Given a site's name and its signal ``(particles, ...)``, what is subtracted, of a shape that
#: widens to the signal's, and a loss to be minimised along the way.
Baseline = Callable[[str, Tensor], tuple[Tensor | float, Tensor | float]]


def score_surrogate(
    terms: Terms, chosen: Mapping[str, Estimator], baseline: Baseline, weights: Weights
) -> Tensor | float:
    r"""A function whose gradient is the score function's part, summed over particles and batch.

    .. math:: \sum_s (\ell_s - b_s)\, \nabla\log q_s

    The signal :math:`\ell_s` of a site is the part of the bound inside its own plates: terms in
    sibling plates are independent of it, and would add only variance. It holds the scale of
    subsampling, and the score does not, so that this scale counts once; and the weights, so that
    what is followed is the bound that is reported.
    """
    marginals = marginals_of(terms)
    costs = [_costs(terms, i, chosen, weights) for i in range(len(terms.traces))]
    total: Tensor | float = 0.0
    for name in [name for name, estimator in chosen.items() if estimator.scored]:
        sites: list[Any] = [guide.nodes[name] for _, guide in terms.traces]
        scores = [_score(site) for site in sites]
        if any(is_identically_zero(score) for score in scores):
            continue
        signals = [
            _signal(cost, site, marginal.dims(score), marginal)
            for cost, site, score, marginal in zip(costs, sites, scores, marginals, strict=True)
        ]
        centred, loss = _centred(name, sites[0], signals, baseline)
        for marginal, score, signal in zip(marginals, scores, centred, strict=True):
            total = total + marginal.expect(score * signal, frozen=True).sum()
        total = total - loss
    return total


def unscored_log_q(terms: Terms, name: str) -> Tensor:
    """log q of a scored site, without the gradient that the score function accounts for."""
    rows = []
    for _, guide in terms.traces:
        site: Any = guide.nodes[name]
        fixed = log_prob(site).detach()
        if not site["fn"].has_rsample:
            entropy = score_parts(site).entropy_term  # Pyro writes 0 where nothing is followed
            if isinstance(entropy, Tensor):
                fixed = fixed + (entropy - entropy.detach())
        rows.append((site, fixed))
    return terms[name]._rows(rows)


def _costs(
    terms: Terms, i: int, chosen: Mapping[str, Estimator], weights: Weights
) -> list[tuple[Any, Tensor]]:
    """Each site's part of the bound, weighted, in the shape of its plates, without gradient."""
    model, guide = terms.traces[i]
    costs = []
    for name, row in terms.items():
        p: Any = model.nodes.get(name)
        q: Any = None if row.kind == "observed" else guide.nodes.get(name)
        if isinstance(chosen.get(name), GumbelSoftmax):  # its value may be no discrete one
            kl = kl_divergence(q["fn"], p["fn"])
            cost: Tensor | float = -scale_and_mask(kl, q["scale"], q["mask"])
        else:
            cost = 0.0 if p is None else log_prob(p) * common_scale(p)
            cost = cost if q is None else cost - log_prob(q) * common_scale(q)
        cost = times(weights.get(name, 1.0), torch.as_tensor(cost).detach())
        costs.append((q if p is None else p, cost))
    return costs


def _score(site: Any) -> Tensor:
    """log q without scale or mask: what is drawn is drawn, counted or not."""
    if site["fn"].has_rsample:
        log_prob(site)
        score: Tensor = site["unscaled_log_prob"]
        return score
    return score_parts(site).score_function


def _signal(
    costs: list[tuple[Any, Tensor]], site: Any, keep: set[int], marginal: Marginal
) -> Tensor:
    inside = MultiFrameTensor()
    for of, cost in costs:
        marginal.check_plates(cost, of)
        frames = [frame for frame in of["cond_indep_stack"] if frame.vectorized]
        inside.add((frames, marginal.expect(cost, keep=keep)))
    return torch.as_tensor(inside.sum_to(site["cond_indep_stack"]))


def _centred(
    name: str, site: Any, signals: list[Tensor], baseline: Baseline
) -> tuple[list[Tensor], Tensor | float]:
    """The signals less the baseline, which sees all particles along the first dimension."""
    dims = [f.dim for f in site["cond_indep_stack"] if f.name == PARTICLES]
    if dims:
        rows = signals[0].movedim(dims[0], 0)
    else:
        rows = torch.stack(torch.broadcast_tensors(*signals))
    value, loss = baseline(name, rows)
    centred = (rows - value).detach()
    return [centred.movedim(0, dims[0])] if dims else list(centred), loss
