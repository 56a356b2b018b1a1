"""Everything that a report of a model and its guide holds."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.objectives import split
from pyro_vae.terms import Terms, site_terms
from pyro_vae.terms.passes import Program

from .active_units import active_units
from .capacity import capacity
from .checks import check_rows, checked_terms, count, no_weights, raise_for_nan
from .evidence import log_evidence
from .inputs import parts, prepare
from .report import Report
from .statistics import mean_and_error
from .undisturbed import undisturbed


def evaluate(
    model: Program,
    guide: Program,
    x: Tensor,
    *others: Tensor,
    particles: int = 1000,
    elbo_particles: int = 1,
    memory: int | None = None,
    vectorize: bool = True,
    seed: int = 0,
) -> Report:
    """ELBO with its two parts, importance-weighted NLL, and active units, on these data.

    Args:
        model, guide: any Pyro programs, called as ``model(x, *others)``.
        x: ``(n, *event)``; moved to the programs' device.
        others: further arguments of both programs, each ``(n, ...)``.
        particles: samples for each example in the NLL.
        elbo_particles: samples for each example in the ELBO, whose KL is analytic where it can be.
        memory, vectorize: as in :func:`log_evidence`.
        seed: of the samples; the same seed gives the same report.

    A latent shared by all examples counts once for the data set, so 1/n for each example. Active
    units are those of latents for each example; not of entries of x that are drawn because nobody
    saw them, a site of the guide with ``infer={"unseen_data": True}``.

    Raises:
        ProgramError, ValueError: as :func:`log_evidence`.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5).to_event(1))
    >>> report = evaluate(model, guide, torch.tensor([[0.0], [2.0]]), particles=10)
    >>> round(report.nll, 4), report.active_units, report.latent     # -log p(x), exactly
    (1.7655, 1, 1)
    """
    count(particles, "particles")
    count(elbo_particles, "elbo_particles")
    arguments = prepare((model, guide), x, others)
    n = len(x)
    with undisturbed(model, guide, seed=seed):
        room = capacity(lambda *part: split(site_terms(model, guide, *part)), arguments, memory)
        done: list[tuple[Tensor, ...]] = []
        for part in parts(arguments, room.rows(n)):
            draws = [checked_terms(model, guide, part) for _ in range(elbo_particles)]
            bounds = torch.stack([_bound(terms, len(part[0]), n) for terms in draws])
            done.append(bounds.mean(0).unbind())
    elbo, reconstruction, kl = (torch.cat(column) for column in zip(*done, strict=True))
    raise_for_nan(elbo, "the ELBO", arguments)
    terms = draws[0]
    nll, nll_stderr = None, None
    if no_weights(terms) is None:
        evidence = log_evidence(
            model,
            guide,
            *arguments,
            particles=particles,
            memory=memory,
            vectorize=vectorize,
            seed=seed,
        )
        nll, nll_stderr = -evidence.mean, evidence.stderr
    latents = [
        site.name
        for site in terms.of_kind("latent")
        if site.per_example and not site.site["infer"].get("unseen_data")
    ]
    units = [active_units(guide, *arguments, site=name, seed=seed) for name in latents]
    return Report(
        *mean_and_error(elbo),
        *mean_and_error(reconstruction),
        *mean_and_error(kl),
        nll,
        nll_stderr,
        active_units=sum(unit.count for unit in units),
        latent=sum(unit.active.numel() for unit in units),
        n=n,
        particles=particles,
    )


def _bound(terms: Terms, rows: int, n: int) -> Tensor:
    """ELBO, reconstruction and KL of each example, ``(3, rows)``."""
    plain = split(terms, examples=n)
    check_rows(len(plain.elbo), terms, rows)
    return torch.stack([plain.elbo, plain.reconstruction, plain.kl])
