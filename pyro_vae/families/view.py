"""What a family is shown when it is to report, or to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class View:
    """Two trained programs, and examples that they have not been trained on.

    Attributes:
        model, guide: the programs.
        x: ``(n, *event)``.
        others: what the programs are given besides, each ``(n, ...)``.
        labels: the classes of the examples ``(n,)``, -1 where missing; ``None`` without any.
        train: x of the training data, before any transform.
        image: the shape in which an example is shown as an image, ``None`` where it is none.
        look: how images are drawn: options of :func:`pyro_vae.plots.images`.
    """

    model: Any
    guide: Any
    x: Tensor
    others: tuple[Tensor, ...]
    labels: Tensor | None
    train: Tensor
    image: tuple[int, ...] | None
    look: dict[str, Any]

    @property
    def programs(self) -> tuple[Any, Any]:
        """Model and guide."""
        return self.model, self.guide

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """What both programs are called with: x, and the others."""
        return (self.x, *self.others)

    def first(self, n: int) -> tuple[Tensor, ...]:
        """The arguments of the first n examples."""
        return tuple(argument[:n] for argument in self.arguments)


@dataclass(frozen=True)
class Finding:
    """One thing that a family measures: its name in ``report.json``, its value, and a line.

    The value is a number, or a list or a mapping of numbers.
    """

    name: str
    value: Any
    line: str


def line(name: str, number: str, note: str = "") -> str:
    """A line of a report, its number under the others.

    >>> line("accuracy", "95.0%", "of 300")
    'accuracy           95.0% of 300'
    """
    return f"{name:<14} {number:>9}{' ' if note else ''}{note}"
