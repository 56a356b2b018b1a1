"""What would make an evaluation wrong without a word: each an error with site and cure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from pyro.poutine import Trace
from torch import Tensor

from pyro_vae.checks import check
from pyro_vae.checks.failures import FAILURES, failure
from pyro_vae.checks.problems import (
    density_problems,
    matching_problems,
    shape_problems,
    value_problems,
)
from pyro_vae.terms import ProgramError, Terms, site_terms
from pyro_vae.terms.kl import family
from pyro_vae.terms.passes import Program

NAN_DATA = "the data contain nan: remove or fill such entries"


def checked_terms(
    model: Program, guide: Program, arguments: Sequence[Tensor], densities: bool = True
) -> Terms:
    """The terms of one particle, or the first problem of the pair as a :class:`ProgramError`.

    With ``densities=False`` only what must hold to run the two together: then data outside the
    likelihood's support pass.
    """
    try:
        terms = site_terms(model, guide, *arguments)
        p, q = terms.traces[0]
        found = matching_problems(p, q)
        if densities:
            found = chain(found, _density_problems(p, q, len(arguments[0])))
        problems = list(found)
    except FAILURES as error:
        problems = [NAN_DATA] if has_nan(arguments) else check(model, guide, *arguments).problems
        if not problems:
            raise
        raise ProgramError(problems[0]) from error
    if problems:
        raise ProgramError(problems[0])
    return terms


def _density_problems(p: Trace, q: Trace, examples: int) -> Iterator[str]:
    yield from shape_problems(p, "model", examples)
    yield from shape_problems(q, "guide", examples)
    yield from value_problems(p)
    yield from density_problems(q, "guide")
    yield from density_problems(p, "model", q)


def no_weights(terms: Terms) -> str | None:
    """Why the programs have no importance weight for each example; ``None`` where they have."""
    for site in terms.values():
        if not site.per_example:
            return (
                f"site {site.name!r} lies outside the data plate: importance weights for each "
                'example need every site inside one `with pyro.plate("data", len(x))`'
            )
    # Pyro's automatic guides draw one auxiliary vector, of which the latents are functions. A
    # noise that the model does not know is another thing: p(x, z) / q(z, a) has no mean p(x).
    random = any(family(s.q) != "Delta" for s in terms.of_kind("latent"))
    for site in terms.of_kind("auxiliary") if random else ():
        return (
            f"site {site.name!r} is in the guide only, so p(x, z) / q(z, {site.name}) does not "
            "average to p(x): sample it in the model too, from what should predict it"
        )
    return None


def check_weights(weights: Tensor, terms: Terms) -> None:
    """Importance weights may be zero (-inf in logs), but neither nan nor infinite."""
    if (weights < float("inf")).all():
        return
    p, q = terms.traces[0]
    for problem in chain(density_problems(q, "guide"), density_problems(p, "model", q)):
        raise ProgramError(problem)
    raise ProgramError("importance weights are infinite: the guide's density vanishes")


def check_rows(rows: int, terms: Terms, examples: int) -> None:
    """The terms hold one row for each example."""
    if terms.data_plate is None:
        raise ProgramError(
            "no plate holds the examples, so the bound is not one per example: put "
            '`with pyro.plate("data", len(x)):` around the observed site'
        )
    if rows != examples:
        raise ProgramError(
            f"plate {terms.data_plate!r} holds {rows} of {examples} examples: evaluate programs "
            "that do not subsample"
        )


def has_nan(arguments: Sequence[Tensor]) -> bool:
    return any(bool(a.isnan().any()) for a in arguments if a.is_floating_point())


def raise_for_nan(value: Tensor, what: str, arguments: Sequence[Tensor]) -> None:
    """A result with nan is an error: of the data, or else of the parameters."""
    if value.is_floating_point() and value.isnan().any():
        cause = "look at the programs' parameters, and at the scale of the data"
        raise ProgramError(f"{what} is nan: {NAN_DATA if has_nan(arguments) else cause}")


@contextmanager
def told_in_one_line(role: str, arguments: Sequence[Tensor]) -> Iterator[None]:
    """What running a program raises, as a :class:`ProgramError`."""
    try:
        yield
    except ProgramError:
        raise
    except FAILURES as error:
        line = failure(error, role, tuple(arguments), {})
        raise ProgramError(NAN_DATA if has_nan(arguments) else line) from error


def count(value: Any, name: str) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
    return value
