"""How many latent dimensions carry information about x."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from pyro_vae.terms import ProgramError
from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import count, raise_for_nan, told_in_one_line
from .inputs import parts, prepare
from .sites import latent_site, mean_of
from .undisturbed import undisturbed


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """Which latent dimensions are used.

    Attributes:
        variance: of the posterior mean over the examples, ``(latent,)``.
        active: where it exceeds the threshold, ``(latent,)``.
    """

    variance: Tensor
    active: Tensor

    @property
    def count(self) -> int:
        """How many are active."""
        return int(self.active.sum())


def active_units(
    guide: Program,
    x: Tensor,
    *others: Tensor,
    threshold: float = 0.01,
    site: str | None = None,
    particles: int = 32,
    seed: int = 0,
) -> ActiveUnits:
    r"""Latent dimensions whose posterior mean varies with x.

    .. math:: A_d = \mathrm{Var}_x\left(\mathbb E_{q(z|x)}[z_d]\right) > \text{threshold}

    The expectation is the family's mean where that is the answer. Where it has none in closed
    form (a flow), or where the site depends on latents that the guide draws before it, it is
    averaged over ``particles`` runs of the guide, and what their spread adds to the variance is
    taken off again.

    Where the aggregate posterior is about standard normal, a unit that just passes 0.01 carries
    0.005 nats, :math:`-\tfrac12\log(1 - 0.01)`: look at :func:`kl_per_dimension` too.

    Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders*, section 5.

    Args:
        guide: any Pyro program, called as ``guide(x, *others)``.
        x: ``(n, *event)``; moved to the guide's device. Take thousands: the variance is over x,
            and unknown (nan, not active) for one example.
        others: further arguments of the guide, each ``(n, ...)``.
        threshold: 0.01 in the paper.
        site: the latent site, where there are several.
        particles: runs of the guide where runs are needed.
        seed: of those runs.

    Raises:
        ProgramError: no such site, several of them, a site outside the data plate, or nan.

    >>> import pyro, pyro.distributions as dist
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x * torch.tensor([1.0, 0.0]), 0.5).to_event(1))
    >>> units = active_units(guide, torch.tensor([[0.0, 5.0], [2.0, 7.0]]))
    >>> units.variance, units.active, units.count
    (tensor([2., 0.]), tensor([ True, False]), 1)
    """
    count(particles, "particles")
    arguments = prepare((guide,), x, others)
    with undisturbed(guide, seed=seed):
        rows = capacity(poutine.trace(guide).get_trace, arguments).rows(len(x))
        moments = partial(_moments, guide, site=site, particles=particles)
        done = [moments(part) for part in parts(arguments, rows)]
        means, spreads = (torch.cat(column) for column in zip(*done, strict=True))
    raise_for_nan(means, "the posterior mean", arguments)
    if len(x) == 1:
        variance = torch.full_like(means[0], float("nan"))
    else:
        variance = (means.var(0) - spreads.mean(0)).clamp(min=0.0)
    return ActiveUnits(variance, variance > threshold)


def _moments(
    guide: Program, arguments: tuple[Tensor, ...], site: str | None, particles: int
) -> tuple[Tensor, Tensor]:
    """The posterior mean and the sampling variance of that estimate, each ``(n, units)``."""
    n = len(arguments[0])
    with told_in_one_line("guide", arguments):
        trace = poutine.trace(guide).get_trace(*arguments)
    node = latent_site(trace, site)
    first = _units(node, n)
    if mean_of(node) is not None and _is_first(trace, node["name"]):
        return first, torch.zeros_like(first)
    runs = [first]
    for _ in range(particles - 1):
        trace = poutine.trace(guide).get_trace(*arguments)
        runs.append(_units(latent_site(trace, site), n))
    each = torch.stack(runs)
    if particles == 1:
        return first, torch.zeros_like(first)
    return each.mean(0), each.var(0) / particles


def _is_first(trace: poutine.Trace, name: str) -> bool:
    """Whether no other draw of the guide comes before: none that its distribution depends on."""
    draws = [n for n, s in trace.nodes.items() if s["type"] == "sample" and not s["is_observed"]]
    return draws[0] == name


def _units(node: Any, n: int) -> Tensor:
    """A site's mean, or else its value, as ``(n, units)``."""
    mean = mean_of(node)
    value = (node["value"] if mean is None else mean).detach()
    value = value.to(torch.get_default_dtype()) if not value.is_floating_point() else value
    frames = [f for f in node["cond_indep_stack"] if f.vectorized and f.size == n]
    named = [f for f in frames if f.name == "data"] or frames
    if not named:
        raise ProgramError(
            f"site {node['name']!r} lies outside the data plate: it has no value for each example"
        )
    data = named[0].dim - len(node["fn"].event_shape)
    return value.movedim(data, 0).reshape(n, -1)
