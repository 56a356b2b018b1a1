"""Where the KL may be taken in closed form, and why not where it may not."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from .errors import ProgramError
from .site import SiteTerm
from .table import Terms

KL = Literal["analytic", "sampled", "auto"]
MODES = ("analytic", "sampled", "auto")


def obstacle(terms: Terms, site: SiteTerm) -> str | None:
    """Why the KL of a latent site must be sampled; ``None`` where the closed form is right.

    The closed form averages over the site alone. That is the right average only while nothing
    that the guide draws *from* this site feeds the site's prior. A prior's parents come before
    the site in the model; if all of those also come before it in the guide, none is drawn from it.
    """
    if not site.reparameterized:
        return "q is not reparameterised, and needs the score function of its own samples"
    before_in_model = _latents_before(site.name, list(terms.traces[0][0].nodes), terms)
    before_in_guide = _latents_before(site.name, list(terms.traces[0][1].nodes), terms)
    late = [name for name in before_in_model if name not in before_in_guide]
    if late:
        return f"the guide draws {late[0]!r}, a possible parent of its prior, after it"
    if site.kl is None:
        return f"no closed form is registered for {family(site.q)} against {family(site.p)}"
    return None


def analytic_sites(terms: Terms, mode: KL) -> set[str]:
    """Names of the latent sites whose KL is taken in closed form.

    Raises :class:`ProgramError` under ``"analytic"`` where a site has no valid closed form.
    """
    if mode == "sampled":
        return set()
    chosen = set()
    for site in terms.of_kind("latent"):
        why = obstacle(terms, site)
        if why is None:
            chosen.add(site.name)
        elif mode == "analytic":
            raise ProgramError(
                f"site {site.name!r} has no analytic KL: {why}; "
                "use ELBO(kl='auto') or ELBO(kl='sampled')"
            )
    return chosen


def kl_term(site: SiteTerm, analytic: bool) -> Tensor:
    """What a latent or auxiliary site takes from the bound, ``(particles, batch)``, nats."""
    if analytic:
        assert site.kl is not None
        return site.kl
    assert site.log_q is not None
    return site.log_q if site.log_p is None else site.log_q - site.log_p


def family(distribution: object) -> str:
    """The name of a distribution's family, without its wrappers.

    >>> import pyro.distributions as dist, torch
    >>> family(dist.Normal(torch.zeros(3), 1.0).to_event(1))
    'Normal'
    """
    base = distribution
    while type(base).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        base = base.base_dist  # type: ignore[attr-defined]
    if type(base).__name__ == "TransformedDistribution":
        return f"flow on {family(base.base_dist)}"  # type: ignore[attr-defined]
    return type(base).__name__


def _latents_before(name: str, order: list[str], terms: Terms) -> list[str]:
    names = order[: order.index(name)]
    return [other for other in names if other in terms and terms[other].kind == "latent"]
