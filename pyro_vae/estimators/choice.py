"""Which estimator each site of the guide gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pyro.poutine import Trace

from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.table import Terms

from .base import (
    Estimator,
    Learned,
    LeaveOneOut,
    Pathwise,
    RunningMean,
    Score,
    StickingTheLanding,
)
from .discrete import Enumerate, GumbelSoftmax, StraightThrough

#: What a user's estimator is written to, and how the sample was drawn for it, in a site's `infer`.
KEY, DRAWN = "estimator", "_drawn_for"

Drawn = Literal["detached", "enumerated", "straight-through"]


class Choice:
    """The estimator of each site: the site's own, or else the objective's, or else a default.

    Args:
        given: for all sites, or a mapping from names of sites.
        particles: of the objective.
    """

    def __init__(
        self, given: str | Estimator | Mapping[str, str | Estimator] | None, particles: int
    ) -> None:
        self.particles = particles
        self.everywhere: Estimator | None = None
        self.at: dict[str, Estimator] = {}
        if isinstance(given, Mapping):
            self.at = {n: as_estimator(e, f"estimator of site {n!r}") for n, e in given.items()}
        elif given is not None:
            self.everywhere = as_estimator(given, "estimator")

    def __call__(self, name: str, fn: Any, infer: Mapping[str, Any]) -> Estimator:
        """The estimator of a site; :class:`ProgramError` naming the site where it is not legal."""
        if KEY in infer:
            try:
                estimator = as_estimator(infer[KEY], f"estimator of site {name!r}")
            except ValueError as error:
                raise ProgramError(str(error)) from error
        else:
            default = Pathwise() if fn.has_rsample else Score()
            estimator = self.at.get(name) or self.everywhere or default
        why = estimator.obstacle(fn, self.particles)
        if why is not None:
            raise ProgramError(f"site {name!r} cannot take estimator {estimator.name!r}: {why}")
        return estimator

    def of(self, terms: Terms) -> dict[str, Estimator]:
        """The estimator of each site of a term table, in the order of the guide.

        Raises :class:`ProgramError` where the table's samples were drawn for another one.
        """
        model, guide = terms.traces[0]
        sites: dict[str, Any] = guide.nodes
        chosen = {}
        for name in [n for n in sites if n in terms and terms[n].kind != "observed"]:
            infer = sites[name]["infer"]
            chosen[name] = self(name, sites[name]["fn"], infer)
            if infer.get(DRAWN) != drawn_for(chosen[name], sites[name]["fn"]):
                raise ProgramError(
                    f"site {name!r} was not drawn for estimator {chosen[name].name!r}: make the "
                    "table by this objective's own terms(model, guide, ...)"
                )
        unknown = [name for name in self.at if name not in chosen]
        if unknown:
            raise ProgramError(
                f"an estimator is chosen for site {unknown[0]!r}, which the guide does not sample; "
                f"it samples {', '.join(map(repr, chosen)) or 'nothing'}"
            )
        _check_model_only(model, guide)
        return chosen

    def notes(self, terms: Terms) -> list[str]:
        """A sentence for each site whose estimator is not the default one."""
        notes = []
        for name, estimator in self.of(terms).items():
            if type(estimator) is not (Pathwise if terms[name].reparameterized else Score):
                bias = f", biased: {estimator.bias}" if estimator.bias else ""
                notes.append(f"gradient of {name!r}: {estimator.name}{bias}")
        return notes


#: Every estimator, by the name that one types.
ESTIMATORS: dict[str, type[Estimator]] = {
    kind.name: kind
    for kind in (
        Pathwise, StickingTheLanding, Score, RunningMean, Learned, LeaveOneOut, Enumerate,
        GumbelSoftmax, StraightThrough,
    )
}  # fmt: skip


def as_estimator(choice: object, where: str) -> Estimator:
    """A name or an estimator, as an estimator.

    Raises ``ValueError`` that begins with ``where`` for what is neither.

    >>> as_estimator("running-mean", "estimator")
    RunningMean(decay=0.9)
    """
    if isinstance(choice, Estimator):
        return choice
    if isinstance(choice, str) and choice in ESTIMATORS:
        return ESTIMATORS[choice]()
    if isinstance(choice, type) and issubclass(choice, Estimator):
        raise ValueError(f"{where} is the class {choice.__name__}: make one, {choice.__name__}()")
    raise ValueError(f"{where} is one of {', '.join(map(repr, ESTIMATORS))}, not {choice!r}")


def drawn_for(estimator: Estimator, fn: Any) -> Drawn | None:
    """How a sample must be drawn for an estimator, where it is not as usual."""
    if isinstance(estimator, Enumerate):
        return "enumerated"
    if isinstance(estimator, StraightThrough):
        return "straight-through"
    return "detached" if estimator.scored and fn.has_rsample else None


def _check_model_only(model: Trace, guide: Trace) -> None:
    sites: dict[str, Any] = model.nodes
    for name, site in sites.items():
        if site["type"] == "sample" and site["infer"].get(DRAWN) and name not in guide.nodes:
            raise ProgramError(
                f"latent site {name!r} is in the model only: sample it in the guide under the "
                "same name"
            )
