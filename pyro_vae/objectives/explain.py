"""The table on the wall: every site of a model and a guide, and what it adds to the bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import pyro
import torch
from pyro.infer import ELBO as PyroELBO
from pyro.infer import TraceMeanField_ELBO

from .base import Objective
from .check import check
from .elbo import ELBO
from .errors import ProgramError
from .kl import KL, analytic_sites, family, kl_term, obstacle
from .passes import Program, untouched_randomness
from .terms import Terms, site_terms

HEADER = ("site", "kind", "p", "q", "plate", "event", "KL", "gradient", "nats")


@dataclass(frozen=True)
class Explanation:
    """What :func:`explain` found; printing it shows the table.

    Attributes:
        rows: one tuple of strings a site, in the order of ``HEADER``.
        notes: how many parameters, how the bound adds up, why a KL is sampled.
        problems: what is wrong, one line each with the site and the cure.
    """

    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def raise_for_problems(self) -> None:
        """Raise :class:`ProgramError` with the first problem, if there is one."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more: see explain)" * (len(self.problems) > 1)
            raise ProgramError(self.problems[0] + more)

    def __str__(self) -> str:
        table = [HEADER, *self.rows] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        if lines:
            lines.insert(1, "  ".join("─" * width for width in widths))
        lines += self.notes
        return "\n".join(lines + [f"problem: {line}" for line in self.problems])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = [[f"<td>{escape(cell)}</td>" for cell in row] for row in self.rows]
        head = "".join(f"<th>{escape(name)}</th>" for name in HEADER)
        body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
        texts = [*self.notes, *(f"problem: {line}" for line in self.problems)]
        below = "".join(f"<p>{escape(text)}</p>" for text in texts)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


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
    found = check(model, guide, *args, **kwargs)
    if found.problems:
        return Explanation(problems=found.problems)
    with torch.no_grad(), pyro.validation_enabled(False), untouched_randomness(seed):
        terms = site_terms(model, guide, *args, **kwargs)
        explanation = _explain(terms, objective)
    count = [sum(t.numel() for t in group.values()) for group in (found.theta, found.phi)]
    parameters = f"parameters: theta {count[0]:,} (model), phi {count[1]:,} (guide)"
    explanation.notes.insert(0, parameters)
    return explanation


def _explain(terms: Terms, objective: PyroELBO) -> Explanation:
    mode = kl_mode(objective)
    result = Explanation()
    try:
        analytic = analytic_sites(terms, mode)
    except ProgramError as error:
        result.problems.append(str(error))
        analytic = analytic_sites(terms, "auto")
    total, parts = 0.0, []
    for site in terms.values():
        latent = site.kind != "observed"
        if latent:
            value = -kl_term(site, site.name in analytic)
        else:
            assert site.log_p is not None
            value = site.log_p
        nats = value.mean().item() if site.per_example else value.sum().item()
        if not value.isfinite().all():
            result.problems.append(f"site {site.name!r} has a log-probability that is not finite")
        total += nats
        result.rows.append(
            (
                site.name,
                site.kind,
                family(site.p) if site.p is not None else "",
                family(site.q) if site.q is not None else "",
                ", ".join(site.plates) or "none",
                "×".join(map(str, site.event_shape)) or "scalar",
                ("analytic" if site.name in analytic else "sampled") if latent else "",
                ("pathwise" if site.reparameterized else "score function") if latent else "",
                f"{nats:.2f}",
            )
        )
        parts.append(f"{'−' if nats < 0 else '+'} {abs(nats):.2f}")
        if latent and mode == "auto" and site.name not in analytic and site.kind == "latent":
            result.notes.append(f"KL of {site.name!r} is sampled: {obstacle(terms, site)}")
    if not any(site.per_example for site in terms.values()):
        result.problems.append(
            "no plate holds the examples, so the bound is not one per example: put "
            '`with pyro.plate("data", len(x)):` around the observed site'
        )
    summed = " ".join(parts).removeprefix("+ ")
    result.notes.append(f"ELBO = {summed} = {total:.2f} nats per example")
    return result


def kl_mode(objective: PyroELBO) -> KL:
    """How an objective, ours or Pyro's, takes the KL."""
    if isinstance(objective, Objective):
        return objective.kl
    return "analytic" if isinstance(objective, TraceMeanField_ELBO) else "sampled"
