"""Which sites of a trace an evaluation is about."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyro_vae.terms import ProgramError
from pyro_vae.terms.kl import family


def observed_site(trace: Trace, name: str | None = None) -> Any:
    """The one site of data, or the one called ``name``."""
    variables = random_variables(trace)
    # In an unobserved program only the data "were" observed; what is observed there was
    # conditioned on.
    found = [n for n, site in variables.items() if site["infer"].get("was_observed")]
    found = found or [n for n, site in variables.items() if site["is_observed"]]
    return trace.nodes[_choose(found, name, "observed site", "model")]


def latent_site(trace: Trace, name: str | None = None, role: str = "guide") -> Any:
    """The one latent site of a program, or the one called ``name``."""
    found = [n for n, site in random_variables(trace).items() if not site["is_observed"]]
    return trace.nodes[_choose(found, name, "latent site", role)]


def mean_of(site: Any) -> Tensor | None:
    """The mean of a site's distribution, ``None`` where it has none in closed form."""
    if family(site["fn"]) == "Categorical":
        return None  # PyTorch says nan: labels have no mean
    try:
        return site["fn"].mean
    except (NotImplementedError, AttributeError):
        return None


def random_variables(trace: Trace) -> dict[str, Any]:
    """The sites of a trace that are random variables, by name."""
    # `pyro.factor`, `pyro.deterministic` and subsampling are sites too, but of no variable.
    nodes: dict[str, Any] = trace.nodes
    return {
        name: site
        for name, site in nodes.items()
        if site["type"] == "sample"
        and not site_is_subsample(site)
        and not isinstance(site["fn"], dist.Unit)
        and not site["infer"].get("_deterministic")
    }


def _choose(found: list[str], name: str | None, kind: str, role: str) -> str:
    named = ", ".join(map(repr, found))
    if name is not None:
        if name not in found:
            raise ProgramError(f"the {role} has no {kind} {name!r}: it has {named or 'none'}")
        return name
    if not found:
        raise ProgramError(f"the {role} has no {kind}")
    if len(found) > 1:
        raise ProgramError(f"the {role} has {len(found)} {kind}s, {named}: choose one by site=")
    return found[0]
