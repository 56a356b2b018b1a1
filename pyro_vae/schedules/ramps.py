"""Schedules that go from one weight to another, and stay there."""

from __future__ import annotations

import math
from abc import abstractmethod

from .base import Schedule, Unit, positive


class _Ramp(Schedule):
    """From ``start`` to ``stop`` over ``length``, then ``stop``."""

    def __init__(
        self, length: float, start: float = 0.0, stop: float = 1.0, unit: Unit = "step"
    ) -> None:
        super().__init__(unit)
        self.length = positive("length", length)
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
        self.length = positive("length", length)
        self.before, self.after = float(before), float(after)

    def __call__(self, t: float) -> float:
        return self.before if t < self.length else self.after
