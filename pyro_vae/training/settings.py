"""What a run needs to know besides its programs, and what must not change when it resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from pyro.infer import ELBO as PyroELBO
from torch import nn
from torch.optim import Optimizer

from pyro_vae.checks import modules_of
from pyro_vae.objectives import Objective

from .schedule import Schedule, schedule_factors

_PLAIN = (bool, int, float, str, type(None))
#: How an optimiser computes, not what: it may differ on another device.
_IMPLEMENTATION = {"params", "name", "fused", "foreach", "capturable", "differentiable"}


def check_options(
    objective: Any, clip_norm: Any, transform: Any, loggers: Any, **whole: Any
) -> None:
    """Raise ``TypeError`` or ``ValueError`` that names the option which cannot be used.

    ``whole`` are options that are whole numbers of at least 1; ``None`` passes.
    """
    for name, value in whole.items():
        integer = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (integer and value >= 1):
            raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
    if clip_norm is not None and not (isinstance(clip_norm, int | float) and clip_norm > 0):
        raise ValueError(f"clip_norm is a positive number, not {clip_norm!r}")
    if not isinstance(objective, PyroELBO):
        given = objective.__name__ if isinstance(objective, type) else type(objective).__name__
        made = f": make one, {given}()" if isinstance(objective, type) else ""
        raise TypeError(f"objective must be an ELBO, ours or of pyro.infer, not {given}{made}")
    if transform is not None and not callable(transform):
        raise TypeError(f"transform is a function of a mini-batch, not {transform!r}")
    if not isinstance(loggers, Sequence) or not all(hasattr(one, "log") for one in loggers):
        raise TypeError("loggers is a list of objects with a method log(row, step)")


def pick_device(device: str | torch.device, *programs: Callable[..., Any]) -> torch.device:
    """``"auto"``: a GPU where there is one and both programs are modules, else where they are.

    Raises ``ValueError`` for a device that this machine does not have, or that holds no values.
    """
    modules = [program for program in programs if isinstance(program, nn.Module)]
    if device == "auto":
        if torch.cuda.is_available() and len(modules) == len(programs):
            return torch.device("cuda", torch.cuda.current_device())
        used = (module for program in programs for _, module in modules_of(program))
        return next((p for module in used for p in module.parameters()), torch.empty(0)).device
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(f"device {str(device)!r} is not to be had here: {line}") from error
    if chosen.type == "meta":
        raise ValueError("device 'meta' holds no values: nothing can be trained on it")
    return chosen


def move(device: torch.device, *programs: Callable[..., Any]) -> None:
    """Move the modules that the programs are or use.

    Raises ``ValueError`` where a parameter is on the ``meta`` device: without values.
    """
    for program in programs:
        for _, module in modules_of(program):
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if tensor.is_meta:
                    raise ValueError(
                        f"{type(module).__name__}.{name} has no values on the meta device: "
                        "give it some by .to_empty(device=...) and an initialisation"
                    )
            module.to(device)


def describe(objective: PyroELBO, optimizer: Optimizer, schedule: Schedule) -> dict[str, Any]:
    """What decides a run's course, as plain values, before the first step."""
    known: dict[str, Any] = {"objective": type(objective).__name__}
    for name, value in vars(objective).items():
        # Pyro's objectives find out the nesting of plates when they run.
        if name[0] != "_" and name != "max_plate_nesting" and _is_plain(value):
            known[f"{name} of the objective"] = value
    if isinstance(objective, Objective):
        known |= {f"{name} of the objective": value for name, value in _weights(objective)}
    known["optim"] = type(optimizer).__name__
    known["schedule"] = schedule if isinstance(schedule, str) else schedule_factors(schedule)
    for number, group in enumerate(optimizer.param_groups):
        where = group.get("name", f"group {number}")
        known[f"number of tensors in {where}"] = len(group["params"])
        for name, value in group.items():
            if name not in _IMPLEMENTATION and _is_plain(value):
                known[f"{name} of {where}"] = value
    return known


def _weights(objective: Objective) -> Iterator[tuple[str, Any]]:
    """Fixed weights by their value, those with a schedule by its options."""
    for name, schedule in objective.schedules.items():
        if schedule.moves:
            plain = {k: v for k, v in vars(schedule).items() if _is_plain(v)}
            yield name, [type(schedule).__name__, *sorted(plain.items())]
        else:
            yield name, schedule(0)


def check_resumed(saved: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise ``ValueError`` where a run would not go on as it was begun."""
    # As the file gives it back: tuples are lists there.
    for name, value in json.loads(json.dumps(given)).items():
        if saved.get(name) != value:
            raise ValueError(
                f"the checkpoint was written with {name}={saved.get(name)!r}, not {value!r}: "
                "resume with the same, or begin a new run"
            )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN) and not (isinstance(value, float) and math.isnan(value))
