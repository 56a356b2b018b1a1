"""What each latent of several holds: its share of the KL, and what it decides of the data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from pyro_vae.terms import ProgramError, Terms, site_terms
from pyro_vae.terms.kl import analytic_sites, kl_term
from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import checked_terms, count, raise_for_nan
from .inputs import parts, prepare
from .reconstruction import observation
from .undisturbed import undisturbed
from .unobserved import unobserved_trace


def kl_per_site(
    model: Program,
    guide: Program,
    x: Tensor,
    *others: Tensor,
    particles: int = 10,
    seed: int = 0,
) -> dict[str, Tensor]:
    r"""What each latent site takes from the ELBO, for each example, nats.

    .. math:: \mathbb E_q[\log q(z_l|\cdot) - \log p(z_l|\cdot)]

    They add up to the KL of the ELBO. Each is a KL by itself, and not below 0, where the guide
    draws the latents in the model's order; from the bottom up only the sum is one.

    Args:
        model, guide: any Pyro programs, called as ``model(x, *others)``.
        x: ``(n, *event)``; moved to the programs' device.
        others: further arguments of both programs, each ``(n, ...)``.
        particles: draws of the guide that are averaged over, one pass each; given these, a site's
            KL is taken in closed form where there is a valid one.
        seed: of the draws.

    Returns:
        For each latent site, in the model's order, a tensor ``(n,)``.

    Raises ``ProgramError`` for sites that do not match, a latent that all examples share, nan.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z2 = pyro.sample("z2", dist.Normal(0.0, 1.0))
    ...         z1 = pyro.sample("z1", dist.Normal(z2, 1.0))
    ...         pyro.sample("x", dist.Normal(z1, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         z2 = pyro.sample("z2", dist.Normal(x, 1.0))
    ...         pyro.sample("z1", dist.Normal(z2 + 1.0, 1.0))
    >>> kl_per_site(model, guide, torch.tensor([0.0, 2.0]))
    {'z2': tensor([0., 2.]), 'z1': tensor([0.5000, 0.5000])}
    """
    count(particles, "particles")
    arguments = prepare((model, guide), x, others)
    done: list[dict[str, Tensor]] = []
    with undisturbed(model, guide, seed=seed):
        rows = capacity(partial(site_terms, model, guide), arguments).rows(len(x))
        for part in parts(arguments, rows):
            checked_terms(model, guide, part)
            draws = [_kl(site_terms(model, guide, *part)) for _ in range(particles)]
            done.append({name: torch.stack([d[name] for d in draws]).mean(0) for name in draws[0]})
    result = {name: torch.cat([piece[name] for piece in done]) for name in done[0]}
    for name, value in result.items():
        raise_for_nan(value, f"the KL of site {name!r}", arguments)
    return result


def _kl(terms: Terms) -> dict[str, Tensor]:
    analytic = analytic_sites(terms, "auto")
    latents = terms.of_kind("latent")
    for site in latents:
        if not site.per_example:
            raise ProgramError(f"all examples share site {site.name!r}: it has no KL for each")
    return {site.name: kl_term(site, site.name in analytic).squeeze(0) for site in latents}


def redraw(
    model: Program,
    guide: Program,
    x: Tensor,
    *others: Tensor,
    keep: Sequence[str] = (),
    draws: int = 8,
    mean: bool = True,
    site: str | None = None,
    seed: int = 0,
) -> Tensor:
    r"""What the data would be with some latents kept as inferred and the others drawn anew.

    .. math:: z \sim q(z|x), \quad z'_{\text{others}} \sim p(\cdot|z_{\text{keep}}), \quad
              x' \sim p(x|z_{\text{keep}}, z')

    Keep the top of a hierarchy, and what stays the same in all draws is what the top decides; keep
    everything, and they are reconstructions. Latents that come before a kept one in the model are
    drawn from their prior without regard to it, so keep from the top down.

    Args:
        model, guide: any Pyro programs, called as ``model(x, *others)``.
        x: ``(n, *event)``; moved to the programs' device.
        others: further arguments of both programs, each ``(n, ...)``.
        keep: latent sites that keep the guide's draw, one for all of ``draws``.
        draws: of the others.
        mean: ``False`` for a draw from the likelihood in place of its mean.
        site: the observed site, where there are several.
        seed: of all draws.

    Returns:
        ``(draws, n, *event)``.

    Raises ``ProgramError`` for a name in ``keep`` that is no latent site.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z2 = pyro.sample("z2", dist.Normal(0.0, 1.0))
    ...         z1 = pyro.sample("z1", dist.Normal(z2, 1e-4))
    ...         pyro.sample("x", dist.Normal(z1, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         z2 = pyro.sample("z2", dist.Normal(x, 1e-4))
    ...         pyro.sample("z1", dist.Normal(z2, 1e-4))
    >>> redraw(model, guide, torch.tensor([0.0, 3.0]), keep=["z2"], draws=2).abs().round()
    tensor([[0., 3.],
            [0., 3.]])
    """
    arguments = prepare((model, guide), x, others)
    result = []
    with undisturbed(model, guide, seed=seed):
        terms = checked_terms(model, guide, arguments, densities=False)
        latents = [latent.name for latent in terms.of_kind("latent")]
        for name in keep:
            if name not in latents:
                named = ", ".join(map(repr, latents)) or "none"
                raise ProgramError(f"there is no latent site {name!r} to keep: there are {named}")
        kept = {name: terms[name].value for name in keep}
        for _ in range(count(draws, "draws")):
            trace = unobserved_trace(model, arguments, site, kept)
            result.append(observation(trace, not mean, site, arguments))
    return torch.stack(result)
