"""The batch of values of one latent, and its distributions, as regularisers take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from .counts import batch_size
from .errors import ProgramError
from .kl import family
from .site import SiteTerm
from .table import Terms


def latent_site(terms: Terms, name: str | None, objective: str) -> SiteTerm:
    """The one latent site that an objective is about.

    Raises :class:`ProgramError` where there is none or several to choose from, where it does not
    have one value for each example, or where its gradient is not pathwise.
    """
    latents = terms.of_kind("latent")
    if name is None:
        inside = [site for site in latents if site.per_example] or latents
        names = ", ".join(repr(site.name) for site in inside)
        if len(inside) != 1:
            raise ProgramError(
                f"{objective} is about one latent, and the programs have "
                + (
                    f"{names}: choose one, {objective}(site={inside[0].name!r})"
                    if names
                    else "none"
                )
            )
        site = inside[0]
    elif name not in terms or terms[name].kind != "latent":
        names = ", ".join(repr(site.name) for site in latents) or "none"
        raise ProgramError(
            f"{objective}(site={name!r}): there is no such latent site; there are: {names}"
        )
    else:
        site = terms[name]
    problem = _unsuited(terms, site)
    if problem is not None:
        raise ProgramError(f"site {site.name!r} does not suit {objective}: {problem}")
    return site


def posterior_draws(terms: Terms, site: SiteTerm) -> Tensor:
    """What the guide drew, ``(particles, batch, latent)``; an event of any shape is laid flat."""
    return torch.cat([_rows(terms, q["value"]) for _, q in records(terms, site)])


def prior_draws(terms: Terms, site: SiteTerm) -> Tensor:
    """As many new draws from the model's prior of the site, ``(particles, batch, latent)``.

    Where the prior depends on the example or on other latents, each example has a draw of its own
    prior. Gradients reach the prior's parameters; :class:`ProgramError` where its family has
    parameters but no reparameterised draws.
    """
    draws = []
    for p, _ in records(terms, site):
        fn: TorchDistribution = p["fn"]
        if not fn.has_rsample and _learns(p):
            raise ProgramError(
                f"the prior of site {site.name!r} has trainable parameters, but {family(fn)} has "
                "no reparameterised draws, so they would not learn from this objective: freeze "
                "them by .requires_grad_(False), or choose another prior"
            )
        draws.append(_rows(terms, fn.rsample() if fn.has_rsample else fn.sample()))
    return torch.cat(draws)


def check_prior_is_fixed(terms: Terms, site: SiteTerm, objective: str) -> None:
    """:class:`ProgramError` where the prior of the site has parameters to learn."""
    if any(_learns(p) for p, _ in records(terms, site)):
        raise ProgramError(
            f"the prior of site {site.name!r} has trainable parameters, which {objective} gives no "
            "gradient: freeze them by .requires_grad_(False), or choose a fixed prior"
        )


def records(terms: Terms, site: SiteTerm) -> Iterator[tuple[Any, Any]]:
    """Pyro's records of the site in the model and in the guide, one pair for each pass."""
    for model_trace, guide_trace in terms.traces:
        yield model_trace.nodes[site.name], guide_trace.nodes[site.name]


def _learns(model_site: Any) -> bool:
    """Whether the density of a given value has a gradient."""
    density: Tensor = model_site["fn"].log_prob(model_site["value"].detach())
    return density.requires_grad


def _rows(terms: Terms, value: Tensor) -> Tensor:
    # The plate of particles lies left of that of the examples, and there is no other.
    return value.reshape(terms.particles // len(terms.traces), batch_size(terms), -1)


def _unsuited(terms: Terms, site: SiteTerm) -> str | None:
    if not site.per_example:
        return (
            "it lies outside the data plate, and has no value for each example; sample it inside "
            '`with pyro.plate("data", len(x))`'
        )
    others = [name for name in site.plates if name != terms.data_plate]
    if others:
        return (
            f"it lies in plate {', '.join(map(repr, others))} besides the examples'; move such "
            "dimensions into the event with .to_event"
        )
    discrete = [s.name for s in terms.of_kind("latent", "auxiliary") if not s.reparameterized]
    if discrete:
        return (
            f"{discrete[0]!r} is not reparameterised, and the score function does not see what is "
            "added to the bound; use a reparameterised family (has_rsample), such as Normal, or "
            "RelaxedOneHotCategorical for classes"
        )
    for record in (record for pair in records(terms, site) for record in pair):
        scale = record["scale"]
        if isinstance(record["mask"], Tensor) or record["mask"] is False:
            return "it is masked; leave examples out by indexing the data"
        if isinstance(scale, Tensor) and scale.numel() > 1:
            return "it is scaled by another weight for each example; leave out poutine.scale"
    return None
