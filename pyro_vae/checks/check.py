"""Run both programs once, in the open, and say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyro
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.passes import Program, untouched_randomness

from .failures import FAILURES, argument_problems, examples, failure
from .problems import (
    density_problems,
    matching_problems,
    observed_in_guide,
    shape_problems,
    value_problems,
)
from .registered import (
    ParameterNames,
    graph_alone,
    parameter_problems,
    untouched_buffers,
    used_tensors,
)


@dataclass
class Checkup:
    """What one run of both programs showed.

    Attributes:
        problems: one line each, naming the site and the cure; empty where all is well.
        model, guide: their traces, ``None`` for a program that could not be run.
        theta, phi: the parameters that the model and the guide register, by name; what both
            register (a prior that uses the guide's network) counts as the guide's.
        shared: names of what both register.
    """

    problems: list[str] = field(default_factory=list)
    model: Trace | None = None
    guide: Trace | None = None
    theta: dict[str, Tensor] = field(default_factory=dict)
    phi: dict[str, Tensor] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)


def check(model: Program, guide: Program, *args: Any, **kwargs: Any) -> Checkup:
    """Run the guide, then the model against it, and collect what is wrong.

    Nothing is trained; random numbers and buffers stay as they were. The programs' own
    parameters are initialised, as by any first run.
    """
    result = Checkup(list(argument_problems(model, guide, args)))
    if result.problems:
        return result
    p, q = ParameterNames(), ParameterNames()
    # Validation is off so that every problem is found and told in our words, not the first one
    # in a stack of shapes.
    quiet = pyro.validation_enabled(False)
    with quiet, untouched_randomness(), untouched_buffers(), graph_alone():
        result.guide = _trace(guide, "guide", q, result.problems, args, kwargs)
        effect = poutine.unwrap(guide)
        if result.guide is not None and isinstance(effect, Messenger):
            # Pyro's effect-based guides run the model themselves, and hold both traces.
            result.model, result.guide = map(
                prune_subsample_sites,
                effect.get_traces(),  # type: ignore[attr-defined]
            )
        elif result.guide is not None:
            result.problems += observed_in_guide(result.guide)
            if not result.problems:
                replayed = poutine.replay(model, trace=result.guide)
                result.model = _trace(replayed, "model", p, result.problems, args, kwargs)
        _parameters(result, p, q)
        if result.guide is not None and result.model is not None:
            result.problems += _site_problems(result.model, result.guide, examples(args))
            if not result.problems:
                known = {id(a) for a in (*args, *kwargs.values())}
                known |= {id(t) for names in (p, q) for t in names.tensors.values()}
                used_q = used_tensors(result.guide, except_for=known)
                used_p = used_tensors(result.model, except_for=known | used_q.keys())
                result.problems += parameter_problems(used_q, guide, "guide", q)
                result.problems += parameter_problems(used_p, model, "model", p)
    return result


def _site_problems(model: Trace, guide: Trace, examples: int | None) -> list[str]:
    """Problems of sites; the later kinds are looked for only where the earlier ones are absent."""
    problems = [
        *matching_problems(model, guide),
        *shape_problems(model, "model", examples),
        *shape_problems(guide, "guide", examples),
    ]
    problems = problems or list(value_problems(model))
    problems = problems or list(density_problems(guide, "guide"))
    return problems or list(density_problems(model, "model", guide))


def _parameters(result: Checkup, p: ParameterNames, q: ParameterNames) -> None:
    result.phi = q.tensors
    phi, both = ({id(t) for t in names.tensors.values()} for names in (q, p))
    result.theta = {name: t for name, t in p.tensors.items() if id(t) not in phi}
    result.shared = {name for name, t in q.tensors.items() if id(t) in both}


def _trace(
    program: Callable[..., Any],
    role: str,
    names: ParameterNames,
    problems: list[str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Trace | None:
    try:
        with names:
            return prune_subsample_sites(poutine.trace(program).get_trace(*args, **kwargs))
    except ProgramError as error:
        problems.append(str(error))
    except FAILURES as error:
        problems.append(failure(error, role, args, kwargs))
    return None
