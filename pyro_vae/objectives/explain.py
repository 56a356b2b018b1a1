"""Every site of a model and a guide, and what it adds to the bound."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro.infer import ELBO as PyroELBO
from pyro.infer import TraceMeanField_ELBO
from torch import Tensor

from pyro_vae.checks.check import check
from pyro_vae.checks.registered import untouched_buffers
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL, analytic_sites, family, kl_term, obstacle
from pyro_vae.terms.passes import Program, untouched_randomness
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms, site_terms

from .base import Objective, share
from .elbo import ELBO
from .explanation import Explanation


def explain(
    model: Program,
    guide: Program,
    *args: Any,
    objective: PyroELBO | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Explanation:
    """Show each site of a model and a guide, how it enters the bound, and what is wrong.

    Args:
        model, guide: any Pyro programs, called as ``model(*args, **kwargs)``.
        objective: the bound; ours or Pyro's. Default ``ELBO()``.
        seed: of the one sample whose values are shown.

    Nats are means over the batch, of one sample. Nothing is trained, and the random numbers
    outside stay as they were.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))
    >>> explain(model, guide, torch.zeros(3)).rows[0][:7]
    ('z', 'latent', 'Normal', 'Normal', 'data', 'scalar', 'analytic')
    """
    objective = ELBO() if objective is None else objective
    if not isinstance(objective, PyroELBO):
        raise TypeError(f"objective is an ELBO of ours or of Pyro's, not {objective!r}")
    found = check(model, guide, *args, **kwargs)
    if found.problems:
        return Explanation(problems=found.problems)
    quiet, same = pyro.validation_enabled(False), untouched_buffers()
    with torch.no_grad(), quiet, same, untouched_randomness(seed):
        terms = site_terms(model, guide, *args, **kwargs)
        own, problems = None, list[str]()
        if isinstance(objective, Objective):
            own, problems = _own_terms(objective, model, guide, args, kwargs)
        explanation = _explain(terms, objective, own)
        explanation.problems.extend(p for p in problems if p not in explanation.problems)
        if isinstance(objective, Objective):
            explanation.notes.extend(objective.notes())
    theta, phi = (sum(t.numel() for t in group.values()) for group in (found.theta, found.phi))
    shared = sum(found.phi[name].numel() for name in found.shared)
    also = f", of which {shared:,} are the model's too" if shared else ""
    explanation.notes.insert(0, f"parameters: theta {theta:,} (model), phi {phi:,} (guide{also})")
    return explanation


def _explain(terms: Terms, objective: PyroELBO, own: Terms | None) -> Explanation:
    mode = kl_mode(objective)
    result = Explanation()
    labels: dict[str, str] = {}
    try:
        if isinstance(objective, Objective) and own is not None:
            analytic, labels = objective.closed(own), objective.labels(own)
        else:
            analytic = analytic_sites(terms, mode)
    except ProgramError as error:
        result.problems.append(str(error))
        analytic = analytic_sites(terms, "auto")
    total, parts = 0.0, []
    for site in terms.values():
        value = _contribution(site, site.name in analytic)
        nats = value.mean().item() * (1.0 if site.per_example else share(terms))
        if not value.isfinite().all():
            result.problems.append(
                f"site {site.name!r} adds {nats} nats: the guide's {family(site.q)} can draw what "
                f"the model's {family(site.p)} cannot; give them families of one support"
            )
        total += nats
        result.rows.append(_row(site, site.name in analytic, nats, labels.get(site.name)))
        parts.append(f"{'-' if nats < 0 else '+'} {abs(nats):.2f}")
        why = obstacle(terms, site) if site.kind == "latent" and mode == "auto" else None
        summed_over = labels.get(site.name) == "enumerate"  # no sample is scored
        if why is not None and site.name not in analytic and not summed_over:
            result.notes.append(f"KL of {site.name!r} is sampled: {why}")
    result.notes.extend(_scale_notes(terms))
    if not terms.of_kind("observed"):
        result.problems.append(
            "the model observes nothing: give the data to a site, pyro.sample(..., obs=x)"
        )
    elif not any(site.per_example for site in terms.values()):
        result.problems.append(
            "no plate holds the examples, so the bound is not one per example: put "
            '`with pyro.plate("data", len(x)):` around the observed site'
        )
    summed = " ".join(parts).removeprefix("+ ").replace("- ", "-", parts[0].startswith("-"))
    shared = [repr(site.name) for site in terms.values() if not site.per_example]
    once = f" (with an example's part of {', '.join(shared)}, which all share)" * bool(shared)
    result.notes.append(f"ELBO = {summed} = {total:.2f} nats per example{once}")
    return result


def _own_terms(
    objective: Objective, model: Program, guide: Program, args: Any, kwargs: Any
) -> tuple[Terms | None, list[str]]:
    """The objective's own table, and why the objective cannot be had for these programs."""
    terms = None
    try:
        terms = objective.terms(model, guide, *args, **kwargs)
        objective.prepare(terms)
        objective.bound(terms)
    except ProgramError as error:
        return terms, [str(error)]
    return terms, []


def _contribution(site: SiteTerm, analytic: bool) -> Tensor:
    """What the site adds to the ELBO, ``(particles, batch)``."""
    if site.kind != "observed":
        return -kl_term(site, analytic)
    assert site.log_p is not None
    return site.log_p


def _row(site: SiteTerm, analytic: bool, nats: float, label: str | None) -> tuple[str, ...]:
    latent, factor = site.kind != "observed", family(site.p) == "Unit"
    return (
        site.name,
        "factor" if factor else site.kind,
        "" if site.p is None or factor else family(site.p),
        "" if site.q is None else family(site.q),
        ", ".join(site.plates) or "none",
        "" if factor else "×".join(map(str, site.event_shape)) or "scalar",
        ("analytic" if analytic else "sampled") if latent else "",
        (label or ("pathwise" if site.reparameterized else "score function")) if latent else "",
        f"{nats:.2f}",
    )


def _scale_notes(terms: Terms) -> list[str]:
    """Sites that the objective counts more or less than once."""
    groups: dict[float, list[str]] = {}
    for site in terms.values():
        scale = float(site.scale_p if site.p is not None else site.scale_q)
        groups.setdefault(scale, []).append(repr(site.name))
    return [
        f"the objective counts {', '.join(names)} {scale:g} times (subsampling or poutine.scale); "
        "the nats above are unscaled"
        for scale, names in groups.items()
        if scale != 1
    ]


def kl_mode(objective: PyroELBO) -> KL:
    """How an objective, ours or Pyro's, takes the KL."""
    if isinstance(objective, Objective):
        return objective.kl
    return "analytic" if isinstance(objective, TraceMeanField_ELBO) else "sampled"
