"""The evidence lower bound."""

from __future__ import annotations

import torch
from pyro.distributions.util import is_identically_zero
from pyro.infer.util import MultiFrameTensor
from torch import Tensor

from .base import Objective
from .kl import KL, MODES, analytic_sites, kl_term
from .site import common_scale, log_prob, score_parts
from .terms import Terms


class ELBO(Objective):
    r"""The evidence lower bound,

    .. math:: \log p(x) \ge \mathbb E_{q(z|x)}[\log p(x|z)] - \mathrm{KL}(q(z|x) \,\|\, p(z)).

    Gradients are pathwise where the guide's site is reparameterised; elsewhere the score function
    is used, with what each plate's independence lets one leave out (as ``Trace_ELBO`` does).

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*; Ranganath, Gerrish and Blei 2014,
    *Black Box Variational Inference*.

    Args:
        kl: ``"analytic"`` takes each KL in closed form and raises
            :class:`~pyro_vae.objectives.ProgramError` naming the site that has none;
            ``"sampled"`` estimates it by log q - log p; ``"auto"`` takes the closed form where
            there is a valid one (``explain`` says where).
        particles: samples of the guide for each example.
        vectorize: draw them in one pass.

    Equal, in value and every gradient, to Pyro's ``Trace_ELBO`` (``"sampled"``) and
    ``TraceMeanField_ELBO`` (``"analytic"``) at the same random numbers.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))   # the exact posterior
    >>> x = torch.tensor([0.0, 2.0])
    >>> round(ELBO(kl="sampled").loss(model, guide, x), 4)       # so the bound is log p(x)
    3.531
    """

    def __init__(self, kl: KL = "auto", particles: int = 1, vectorize: bool = True) -> None:
        if kl not in MODES:
            raise ValueError(f"kl is one of {', '.join(map(repr, MODES))}, not {kl!r}")
        super().__init__(particles, vectorize)
        self.kl = kl

    def bound(self, terms: Terms) -> Tensor:
        analytic = analytic_sites(terms, self.kl)
        value: Tensor | float = 0.0
        followed: Tensor | float = 0.0  # what autograd sees where it is not the value
        for site in terms.values():
            if site.name in analytic:
                value = value - site.scale_q * kl_term(site, analytic=True).sum()
                continue
            if site.log_p is not None:
                value = value + site.scale_p * site.log_p.sum()
            if site.log_q is not None and site.entropy is not None:
                value = value - site.scale_q * site.log_q.sum()
                if site.entropy is not site.log_q:
                    followed = followed + site.scale_q * (site.log_q - site.entropy).sum()
        total = torch.as_tensor(value) / terms.particles
        if all(s.reparameterized for s in terms.of_kind("latent", "auxiliary")):
            return total
        surrogate = (followed + score_function(terms)) / terms.particles
        return total + (surrogate - surrogate.detach())


def score_function(terms: Terms) -> Tensor:
    """The score-function surrogate of the sites that are not reparameterised.

    Each site's score is multiplied by the part of the bound inside its own plates: terms in
    sibling plates are independent of it, and would add only variance.
    """
    total: Tensor | float = 0.0
    for model_trace, guide_trace in terms.traces:
        scores = [
            (site, score_parts(site).score_function * common_scale(site))
            for site in guide_trace.nodes.values()
            if site["type"] == "sample" and not site["fn"].has_rsample  # type: ignore[attr-defined]
        ]
        weight = MultiFrameTensor()
        for name, site in model_trace.nodes.items():
            if site["type"] != "sample":
                continue
            term = log_prob(site) * common_scale(site)
            if not site["is_observed"]:
                other = guide_trace.nodes[name]
                term = term - log_prob(other) * common_scale(other)
            frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
            weight.add((frames, term.detach()))
        for site, score in scores:
            if not is_identically_zero(score):
                total = total + (weight.sum_to(site["cond_indep_stack"]) * score).sum()
    return torch.as_tensor(total)
