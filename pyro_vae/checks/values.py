"""Whether densities take the values that they get: supports, NaN, infinities."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import torch
from pyro.poutine import Trace
from torch import Tensor
from torch.distributions.constraints import is_dependent

from pyro_vae.likelihoods import takers
from pyro_vae.terms.kl import family
from pyro_vae.terms.site import log_prob

from .failures import FAILURES, first_line
from .structure import samples
from .supports import reaches_outside


def value_problems(trace: Trace) -> Iterator[str]:
    """Observed data with NaN or outside the support."""
    for name, site in samples(trace).items():
        if site["is_observed"] and isinstance(site["value"], Tensor):
            yield from observation_problems(name, site["value"], site["fn"])


def observation_problems(name: str, value: Tensor, fn: Any) -> Iterator[str]:
    """The same for one observed tensor against one distribution."""
    if value.is_floating_point() and not value.isfinite().all():
        where = _first(~value.isfinite())
        yield (
            f"data at site {name!r} contain {value[where].item()} at {list(where)}: remove or fill "
            "such entries (masked ones too)"
        )
        return
    inside = _inside(value, fn)
    if inside is not None and not inside.all():
        where = _first(~inside)
        yield (
            f"data at site {name!r} contain {_numbers(value[where])} at {list(where)}, outside the "
            f"support of {family(fn)}: {_cure(value, fn)}"
        )


def density_problems(trace: Trace, role: str, guide: Trace | None = None) -> Iterator[str]:
    """The first site whose parameters, value or log-probability cannot be.

    A latent value is held against the model's family where the guide is given as well.
    """
    for name, site in samples(trace, factors=True).items():
        problem = _parameter_problem(site["fn"]) or _draw_problem(site, guide)
        try:
            value = log_prob(site)
        except FAILURES as error:
            problem = problem or f"it has no log-probability: {first_line(error)}"
        else:
            if not value.isfinite().all():
                number = value[_first(~value.isfinite())].item()
                problem = problem or (
                    f"its log-probability is {number}: look at the scale of the data and at the "
                    "weights of the network"
                )
        if problem:
            yield f"site {name!r} in the {role} ({family(site['fn'])}): {problem}"
            return


def _parameter_problem(fn: Any) -> str | None:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    for parameter, constraint in getattr(fn, "arg_constraints", {}).items():
        value = vars(fn).get(parameter)
        if not isinstance(value, Tensor) or is_dependent(constraint):
            continue
        if value.is_floating_point() and not value.isfinite().all():
            number = value[_first(~value.isfinite())].item()
            return (
                f"{parameter} is {number}; look at the weights and the input of the network that "
                "computes it"
            )
        valid = constraint.check(value)
        if not valid.all():
            number = value[_first(~valid)].flatten()[0].item()
            return (
                f"{parameter} is {number:.3g}, and must be {constraint}; compute it through a "
                "function with such values, such as softplus or sigmoid"
            )
    return None


def _draw_problem(site: Any, guide: Trace | None) -> str | None:
    if guide is None or site["is_observed"]:
        return None
    value: Tensor = site["value"]
    q: Any = guide.nodes[site["name"]]["fn"]
    inside, drawn = _inside(value, site["fn"]), _inside(value, q)
    if inside is None or drawn is None:
        return None
    # One family may judge numbers and the other whole events. And what rounding puts outside the
    # guide's own support says nothing about the families.
    batch = value.shape[: value.dim() - q.event_dim]
    wrong = drawn.reshape(*batch, -1).all(-1) & ~inside.reshape(*batch, -1).all(-1)
    if not wrong.any():
        if not reaches_outside(site["fn"], q):
            return None
        return (
            f"the guide's {family(q)} can draw any number, also outside the support; "
            "give model and guide families of one support"
        )
    return (
        f"the guide's {family(q)} draws {_numbers(value[_first(wrong)])}, outside the support; "
        "give model and guide families of one support"
    )


def _inside(value: Tensor, fn: Any) -> Tensor | None:
    """Which values lie in the support; ``None`` for a family that does not say."""
    try:
        return _support(fn).check(value)
    except (NotImplementedError, AttributeError):
        return None


def _support(fn: Any) -> Any:
    """The support, with one number for an end that is the same for all, as of binomial counts."""
    support = copy(_base(fn).support)
    for name, end in _ends(support).items():
        if bool((end == end.flatten()[0]).all()):
            setattr(support, name, end.flatten()[0])
    return support


def _ends(support: Any) -> dict[str, Tensor]:
    return {n: t for n, t in vars(support).items() if isinstance(t, Tensor) and t.dim()}


def own_support(fn: Any) -> bool:
    """Whether each example has a support of its own, so that it says nothing of others."""
    try:
        return bool(_ends(_support(fn)))
    except (NotImplementedError, AttributeError):
        return False


def _cure(value: Tensor, fn: Any) -> str:
    grey = bool(((value >= 0) & (value <= 1)).all())
    *most, last = takers(value)
    names = f"{', '.join(most)} or {last}" if most else last
    if grey and family(fn) == "Bernoulli":
        return f"binarise grey values (the data set's .binarized()), or use {names}"
    return f"use a likelihood such as {names}"


def _base(fn: Any) -> Any:
    while type(fn).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        fn = fn.base_dist
    return fn


def _numbers(value: Tensor) -> str:
    """A number, or the first few of an event."""
    shown = [f"{number:.3g}" for number in value.flatten()[:4].tolist()]
    return shown[0] if value.dim() == 0 else f"({', '.join(shown + ['...'] * (value.numel() > 4))})"


def _first(where: Tensor) -> tuple[int, ...]:
    """The index of the first true entry."""
    return tuple(torch.nonzero(where)[0].tolist())
