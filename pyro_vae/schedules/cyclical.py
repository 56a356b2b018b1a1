"""A schedule that begins again and again."""

from __future__ import annotations

from .base import Schedule, Unit, positive


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
        self.period = positive("period", period)
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
