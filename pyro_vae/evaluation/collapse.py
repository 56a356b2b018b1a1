"""Whether the model uses its latent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

from pyro_vae.objectives import split
from pyro_vae.objectives.remedies import remedies
from pyro_vae.terms import ProgramError, Terms
from pyro_vae.terms.information import first_latent, mutual_information
from pyro_vae.terms.kl import kl_term
from pyro_vae.terms.passes import Program

from .active_units import ActiveUnits, active_units
from .checks import checked_terms, count, raise_for_nan
from .inputs import prepare
from .kl import kl_per_dimension
from .undisturbed import undisturbed

#: Below this part of active units, or these nats of information, one speaks of collapse.
FEW_ACTIVE, LITTLE_INFORMATION = 0.05, 0.1


@dataclass(frozen=True, eq=False)
class CollapseReport:
    """What a latent carries; print it.

    Attributes:
        units: which dimensions of the latent are active.
        kl: the KL of the ELBO, mean over the examples, nats.
        kl_per_dimension: its parts, ``(latent,)``; ``None`` where there is no closed form.
        information: mutual information of x and z under q, nats.
        aggregate_kl: KL of the aggregate posterior q(z) from the prior, nats.
        shuffled_loss: reconstruction lost when the examples' z are shuffled, nats.
        examples: from how many examples; information is at most the logarithm of that.
        site: the latent, the first that the guide draws.
        others: the other latents.
        classes: whether the latent is a class.
    """

    units: ActiveUnits
    kl: float
    kl_per_dimension: Tensor | None
    information: float
    aggregate_kl: float
    shuffled_loss: float
    examples: int
    site: str = "z"
    others: tuple[str, ...] = ()
    classes: bool = False

    @property
    def collapsed(self) -> bool:
        """Fewer than 5 % of the units are active, or z says less than 0.1 nats about x."""
        active = self.units.count / self.units.active.numel()
        return active < FEW_ACTIVE or self.information < LITTLE_INFORMATION

    def __str__(self) -> str:
        z, joint = self.site, ", ".join([self.site, *self.others])
        rows = [
            ("active units", f"{self.units.count} of {self.units.active.numel()}"),
            (f"KL(q({joint}|x) || p({joint}))", f"{self.kl:.2f} nats"),
            (f"  mutual information of x and {z}", f"{self.information:.2f} nats"),
            (f"  KL(q({z}) || p({z})) of the aggregate", f"{self.aggregate_kl:.2f} nats"),
            (f"reconstruction lost when {joint} is shuffled", f"{self.shuffled_loss:.2f} nats"),
        ]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value:>12}" for name, value in rows]
        if self.collapsed:
            lines.append(
                f"the posterior has collapsed: x and {z} are (nearly) independent. Remedies:"
            )
            cures = remedies(z, self.others, self.classes)
            lines += [f"  - {remedy}" for remedy in cures]
        return "\n".join(lines)

    __repr__ = __str__


def collapse_report(
    model: Program,
    guide: Program,
    x: Tensor,
    *others: Tensor,
    examples: int = 1000,
    seed: int = 0,
) -> CollapseReport:
    r"""Measure what the guide's first latent carries about x, and what the decoder makes of it.

    .. math:: \mathbb E_x\,\mathrm{KL}(q(z|x)\,\|\,p(z)) = I_q(x; z) + \mathrm{KL}(q(z)\,\|\,p(z))

    Collapse is when all three vanish: the decoder models the data by itself, and z is noise.
    Shuffling gives each example the latents of another; a decoder that ignores z loses nothing.

    Bowman et al. 2016, *Generating Sentences from a Continuous Space*; Hoffman and Johnson 2016,
    *ELBO surgery*.

    Args:
        model, guide: any Pyro programs, called as ``model(x, *others)``.
        x: ``(n, *event)``; moved to the programs' device.
        others: further arguments of both programs, each ``(n, ...)``.
        examples: how many of them are used, the first ones, in one pass.
        seed: of the guide's draws and the order of the shuffle.

    Raises ``ProgramError`` for sites that do not match, a latent that all examples share, nan;
    ``ValueError`` for fewer than two examples.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(0.0 * z, 1.0).to_event(1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(0.0 * x, 1.0).to_event(1))
    >>> collapse_report(model, guide, torch.randn(100, 2)).collapsed
    True
    """
    few = count(examples, "examples")
    arguments = tuple(argument[:few] for argument in prepare((model, guide), x, others))
    if len(arguments[0]) < 2:
        raise ValueError("one example cannot be told from others: give collapse_report at least 2")
    with undisturbed(model, guide, seed=seed):
        terms = checked_terms(model, guide, arguments)
        latent = first_latent(terms)
        besides = [s.name for s in terms.of_kind("latent") if s.name != latent.name]
        information = mutual_information(terms)
        whole = split(terms, examples=len(arguments[0]))
        lost = _shuffled_loss(model, terms, arguments)
        rate = kl_term(latent, analytic=latent.kl is not None)
        raise_for_nan(information, "the mutual information", arguments)
    try:
        each = kl_per_dimension(model, guide, *arguments, site=latent.name, seed=seed)
    except ProgramError:  # no closed form
        each = None
    return CollapseReport(
        active_units(guide, *arguments, site=latent.name, seed=seed),
        float(whole.kl.mean()),
        each,
        float(information),
        float(rate.mean() - information),
        float(lost),
        len(arguments[0]),
        latent.name,
        tuple(besides),
        latent.q is not None and latent.q.has_enumerate_support,
    )


def _shuffled_loss(model: Program, terms: Terms, arguments: Sequence[Tensor]) -> Tensor:
    """Mean loss of log p(x|z) when each example has the latents of another, nats."""
    n = len(arguments[0])
    # A turn by a random order in which nobody keeps his own.
    order = torch.randperm(n)
    partner = torch.empty(n, dtype=torch.long)
    partner[order] = order.roll(1)
    guide_trace = terms.traces[0][1].copy()
    for site in terms.of_kind("latent", "auxiliary"):
        if site.per_example:
            record: dict[str, Any] = dict(guide_trace.nodes[site.name])
            (dim,) = [f.dim for f in record["cond_indep_stack"] if f.name == terms.data_plate]
            value: Tensor = record["value"]
            place = value.dim() + dim - len(site.event_shape)
            record["value"] = value.index_select(place, partner.to(value.device))
            guide_trace.nodes[site.name] = record  # type: ignore[assignment]
    replayed = poutine.replay(model, trace=guide_trace)
    trace = prune_subsample_sites(poutine.trace(replayed).get_trace(*arguments))
    # The guide's own trace: only what the model makes of the values is looked at.
    shuffled = Terms([(trace, terms.traces[0][1])], 1, terms.call)
    lost = torch.zeros(())
    for site in terms.of_kind("observed"):
        before, after = site.log_p, shuffled[site.name].log_p
        assert before is not None and after is not None
        lost = lost + (before - after).mean()
    return lost
