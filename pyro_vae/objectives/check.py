"""Run both programs once, in the open, and say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

from .errors import ProgramError
from .passes import Program, untouched_randomness
from .problems import matching_problems, shape_problems, value_problems
from .registered import ParameterNames, parameter_problems


@dataclass
class Checkup:
    """What one run of both programs showed.

    Attributes:
        problems: one line each, naming the site and the cure; empty where all is well.
        model, guide: their traces, ``None`` for a program that could not be run.
        theta, phi: the parameters that the model and the guide register, by name; what both
            register (a prior that uses the guide's network) counts as the guide's.
    """

    problems: list[str] = field(default_factory=list)
    model: Trace | None = None
    guide: Trace | None = None
    theta: dict[str, Tensor] = field(default_factory=dict)
    phi: dict[str, Tensor] = field(default_factory=dict)


def check(model: Program, guide: Program, *args: Any, **kwargs: Any) -> Checkup:
    """Run the guide, then the model against it, and collect what is wrong.

    Nothing is trained and the random numbers stay as they were. The programs' own parameters
    are initialised, as by any first run.
    """
    result = Checkup()
    guide_names, model_names = ParameterNames(), ParameterNames()
    # Validation is off so that every problem is found and told in our words, not the first one
    # in a stack of shapes.
    with pyro.validation_enabled(False), torch.no_grad(), untouched_randomness():
        result.guide = _trace(guide, "guide", guide_names, result.problems, args, kwargs)
        if result.guide is not None:
            replayed = poutine.replay(model, trace=result.guide)
            result.model = _trace(replayed, "model", model_names, result.problems, args, kwargs)
        result.phi = guide_names.tensors
        shared = {id(tensor) for tensor in result.phi.values()}
        result.theta = {n: t for n, t in model_names.tensors.items() if id(t) not in shared}
        known = shared | {id(tensor) for tensor in result.theta.values()}
        if result.guide is not None and result.model is not None:
            for program, role, names in (
                (guide, "guide", guide_names),
                (model, "model", model_names),
            ):
                result.problems += parameter_problems(program, role, names, known)
        if result.model is not None and result.guide is not None:
            result.problems += matching_problems(result.model, result.guide)
            result.problems += shape_problems(result.model, "model")
            result.problems += shape_problems(result.guide, "guide")
            result.problems += value_problems(result.model)
    return result


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
    except (ValueError, RuntimeError, TypeError, IndexError, AssertionError) as error:
        # The first line says it; Pyro appends the shapes of every site to it.
        line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        hint = (
            "; move that dimension into the event with .to_event(1), or declare its plate"
            if line.startswith("Shape mismatch inside plate")
            else ""
        )
        shapes = ", ".join(str(tuple(a.shape)) for a in args if isinstance(a, Tensor))
        problems.append(f"the {role} cannot run on data of shape {shapes}: {line}{hint}")
    return None
