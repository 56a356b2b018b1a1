"""What a schedule is, and the plain ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

Unit = Literal["step", "epoch"]
UNITS = ("step", "epoch")


class Schedule(ABC):
    """A weight as a function of time, in steps or in epochs (fractions of one included).

    To add one, implement ``__call__(t)``, and pass ``unit`` on to this constructor.
    """

    #: Whether the weight changes at all.
    moves = True

    def __init__(self, unit: Unit = "step") -> None:
        if unit not in UNITS:
            raise ValueError(f"unit is 'step' or 'epoch', not {unit!r}")
        self.unit = unit

    @abstractmethod
    def __call__(self, t: float) -> float:
        """The weight after ``t`` steps or epochs."""

    def at(self, step: int, steps_per_epoch: int | None) -> float:
        """The weight at a step, 0 for the first.

        Raises ``ValueError`` where it is in epochs and nobody has said how long one is.
        """
        if self.unit == "step":
            return self(step)
        if steps_per_epoch is None:
            raise ValueError(
                f"{type(self).__name__} is in epochs: set objective.steps_per_epoch to the number "
                "of mini-batches in one (fit does it), or give it unit='step'"
            )
        return self(step / steps_per_epoch)


class Constant(Schedule):
    """The same weight always.

    >>> Constant(0.5)(1000)
    0.5
    """

    moves = False

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = float(value)

    def __call__(self, t: float) -> float:
        return self.value


class Function(Schedule):
    """Any function of the steps or epochs.

    >>> Function(lambda step: 1 / (1 + step))(3)
    0.25
    """

    def __init__(self, function: Callable[[float], float], unit: Unit = "step") -> None:
        super().__init__(unit)
        self.function = function

    def __call__(self, t: float) -> float:
        return float(self.function(t))


def as_schedule(value: float | Schedule | Callable[[float], float], what: str) -> Schedule:
    """A number, a function of the step, or a schedule, as a schedule.

    Raises ``TypeError`` or ``ValueError`` that begins with ``what``.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"{what} is a finite number, not {value!r}")
        return Constant(value)
    if isinstance(value, Schedule):
        return value
    if callable(value):
        return Function(value)
    raise TypeError(f"{what} is a number, a schedule or a function of the step, not {value!r}")


def positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} is a positive number of steps or epochs, not {value!r}")
    return value
