"""The schedule of the learning rates: a factor for each part of the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Schedule = Literal["constant", "cosine", "linear"] | Callable[[float], float]

_SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1.0 - done,
}


def make_schedule(optimizer: Optimizer, schedule: Schedule, steps: int) -> LambdaLR:
    """Multiply each learning rate by a factor of the part of the run that is done.

    ``schedule`` is ``"constant"``, ``"cosine"`` (from 1 to 0; Loshchilov and Hutter 2017, SGDR),
    ``"linear"`` (from 1 to 0), or a function from ``[0, 1]`` to a factor.

    Raises ``ValueError`` for another name, or a function with a factor that is not positive or 0.
    """
    schedule_factors(schedule)
    factor = _SHAPES[schedule] if isinstance(schedule, str) else schedule
    return LambdaLR(optimizer, lambda step: factor(min(step / max(steps, 1), 1.0)))


def schedule_factors(schedule: Schedule) -> list[float]:
    """The factor at five points of the run, to check it and to know it again.

    >>> schedule_factors("linear")
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    factor = _SHAPES.get(schedule) if isinstance(schedule, str) else schedule
    if not callable(factor):
        names = ", ".join(map(repr, _SHAPES))
        raise ValueError(f"schedule is one of {names}, or a function, not {schedule!r}")
    factors = [factor(done) for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for value in factors:
        if not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise ValueError(f"schedule must give a factor of at least 0, not {value!r}")
    return [float(value) for value in factors]


def go_to_step(scheduler: LambdaLR, step: int) -> None:
    """Set each learning rate to what this schedule gives at a step, wherever it was."""
    scheduler.last_epoch = step
    rates = zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    scheduler._last_lr = [base * factor(step) for base, factor in rates]
    for group, rate in zip(scheduler.optimizer.param_groups, scheduler._last_lr, strict=True):
        group["lr"] = rate
