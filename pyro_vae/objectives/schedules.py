"""Weights that change while a bound is trained."""

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


class _Ramp(Schedule):
    """From ``start`` to ``stop`` over ``length``, then ``stop``."""

    def __init__(
        self, length: float, start: float = 0.0, stop: float = 1.0, unit: Unit = "step"
    ) -> None:
        super().__init__(unit)
        self.length = _positive("length", length)
        self.start, self.stop = float(start), float(stop)

    def __call__(self, t: float) -> float:
        part = min(max(t / self.length, 0.0), 1.0)
        return self.start + (self.stop - self.start) * self._shape(part)

    @abstractmethod
    def _shape(self, part: float) -> float:
        """From 0 at 0 to 1 at 1."""


class Linear(_Ramp):
    """A straight line from ``start`` to ``stop`` over ``length`` steps or epochs, then ``stop``.

    Bowman et al. 2016, *Generating Sentences from a Continuous Space* (KL annealing).

    >>> warm_up = Linear(100)
    >>> [warm_up(t) for t in (0, 25, 100, 200)]
    [0.0, 0.25, 1.0, 1.0]
    """

    def _shape(self, part: float) -> float:
        return part


class Cosine(_Ramp):
    """Half a wave from ``start`` to ``stop`` over ``length`` steps or epochs, then ``stop``.

    >>> round(Cosine(100)(50), 6)
    0.5
    """

    def _shape(self, part: float) -> float:
        return 0.5 * (1.0 - math.cos(math.pi * part))


class Sigmoid(_Ramp):
    """A logistic curve from ``start`` to ``stop`` over ``length`` steps or epochs, then ``stop``.

    >>> [round(Sigmoid(100)(t), 2) for t in (0, 25, 50, 100)]
    [0.0, 0.07, 0.5, 1.0]
    """

    def _shape(self, part: float) -> float:
        def logistic(u: float) -> float:
            return 1.0 / (1.0 + math.exp(-10.0 * (u - 0.5)))

        low, high = logistic(0.0), logistic(1.0)
        return (logistic(part) - low) / (high - low)  # 0 and 1 at the ends, exactly


class Step(Schedule):
    """``before`` until ``length`` steps or epochs are over, then ``after``.

    >>> [Step(10)(t) for t in (9, 10)]
    [0.0, 1.0]
    """

    def __init__(
        self, length: float, before: float = 0.0, after: float = 1.0, unit: Unit = "step"
    ) -> None:
        super().__init__(unit)
        self.length = _positive("length", length)
        self.before, self.after = float(before), float(after)

    def __call__(self, t: float) -> float:
        return self.before if t < self.length else self.after


class Cyclical(Schedule):
    """Again and again: up from ``start`` to ``stop`` in a part of each period, then level.

    Fu et al. 2019, *Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing*.

    Args:
        period: steps or epochs of one cycle.
        rising: the part of it that rises.
        cycles: after so many the weight stays at ``stop``; ``None`` for no end.

    >>> wave = Cyclical(100, rising=0.5)
    >>> [wave(t) for t in (0, 25, 50, 99, 100)]
    [0.0, 0.5, 1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        period: float,
        rising: float = 0.5,
        cycles: int | None = None,
        start: float = 0.0,
        stop: float = 1.0,
        unit: Unit = "step",
    ) -> None:
        super().__init__(unit)
        self.period = _positive("period", period)
        if not 0.0 < rising <= 1.0:
            raise ValueError(f"rising is a part of the period, in (0, 1], not {rising!r}")
        if cycles is not None and cycles < 1:
            raise ValueError(f"cycles is a whole number of at least 1, not {cycles!r}")
        self.rising, self.cycles = rising, cycles
        self.start, self.stop = float(start), float(stop)

    def __call__(self, t: float) -> float:
        if self.cycles is not None and t >= self.cycles * self.period:
            return self.stop
        part = min((t % self.period) / self.period / self.rising, 1.0)
        return self.start + (self.stop - self.start) * part


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


def _positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} is a positive number of steps or epochs, not {value!r}")
    return value
