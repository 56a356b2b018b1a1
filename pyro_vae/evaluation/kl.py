"""Where in the latent space the KL is spent."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_vae.terms import ProgramError, SiteTerm, Terms, site_terms
from pyro_vae.terms.kl import family
from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import checked_terms, raise_for_nan
from .inputs import parts, prepare
from .sites import latent_site
from .undisturbed import undisturbed


def kl_per_dimension(
    model: Program,
    guide: Program,
    x: Tensor,
    *others: Tensor,
    site: str | None = None,
    seed: int = 0,
) -> Tensor:
    r"""The mean over the examples of each latent dimension's KL, in closed form, nats.

    .. math:: \frac1n \sum_i \mathrm{KL}\left(q(z_d|x_i) \,\|\, p(z_d)\right)

    Args:
        model, guide: any Pyro programs, called as ``model(x, *others)``.
        x: ``(n, *event)``; moved to the programs' device.
        others: further arguments of both programs, each ``(n, ...)``.
        site: the latent site, where there are several. One whose prior has parents takes them
            from one draw of the guide.
        seed: of such draws.

    Returns:
        ``(latent,)``; its sum is the KL of the ELBO.

    Raises:
        ProgramError: q or p at the site does not factorise into families of one dimension, no
            closed form is registered for them, or the guide draws a parent of the prior after
            the site; names the site.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         loc = torch.stack([x, 0 * x], -1)
    ...         pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))
    >>> kl_per_dimension(model, guide, torch.tensor([0.0, 2.0]))     # x^2 / 2, and none
    tensor([1., 0.])
    """
    arguments = prepare((model, guide), x, others)
    total = torch.zeros(())
    with undisturbed(model, guide, seed=seed):
        rows = capacity(partial(site_terms, model, guide), arguments).rows(len(x))
        for part in parts(arguments, rows):
            terms = checked_terms(model, guide, part, densities=False)
            name = latent_site(terms.traces[0][1], site)["name"]
            kl = _by_dimension(terms, terms[name])
            raise_for_nan(kl, f"the KL of site {name!r}", part)
            total = total.to(kl) + kl.sum(0)
    return total / len(x)


def _by_dimension(terms: Terms, site: SiteTerm) -> Tensor:
    """``(batch, latent)``."""
    q, p = _factors(site.q), _factors(site.p)
    if q is None or p is None or not site.per_example or len(site.plates) > 1:
        raise ProgramError(
            f"site {site.name!r} has no KL for each dimension: q ({family(site.q)}) and p "
            f"({family(site.p)}) must factorise into families of one dimension, in the data plate"
        )
    late = _drawn_late(terms, site.name)
    if late is not None:
        raise ProgramError(
            f"site {site.name!r} has no analytic KL: the guide draws {late!r}, a possible parent "
            "of its prior, after it"
        )
    try:
        kl = kl_divergence(q, p)
    except NotImplementedError:
        raise ProgramError(
            f"site {site.name!r} has no analytic KL: no closed form is registered for "
            f"{family(site.q)} against {family(site.p)}"
        ) from None
    return kl.reshape(len(kl), -1)


def _factors(distribution: object) -> torch.distributions.Distribution | None:
    """The independent families of one dimension that make up a distribution."""
    while type(distribution).__name__ == "Independent":
        distribution = distribution.base_dist  # type: ignore[attr-defined]
    simple = isinstance(distribution, torch.distributions.Distribution)
    return distribution if simple and not distribution.event_shape else None  # type: ignore


def _drawn_late(terms: Terms, name: str) -> str | None:
    """A latent that comes before the site in the model, but after it in the guide."""
    order = list(terms.traces[0][1].nodes)
    latents = [site.name for site in terms.of_kind("latent")]
    before = latents[: latents.index(name)]
    return next((other for other in before if order.index(other) > order.index(name)), None)
