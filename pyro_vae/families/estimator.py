"""How the gradient passes a latent that is a class."""

from __future__ import annotations

from typing import Literal

#: ``objective`` leaves it to the objective, by the score function where that has no other.
Estimator = Literal[
    "enumerate",
    "leave-one-out",
    "gumbel-softmax",
    "straight-through",
    "score",
    "running-mean",
    "learned",
    "objective",
]


def at_the_site(estimator: Estimator) -> str | None:
    """What the guide's site is told, ``None`` for nothing."""
    return None if estimator == "objective" else estimator
