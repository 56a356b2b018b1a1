"""Schedules: weights that change while a bound is trained."""

from .base import Constant, Function, Schedule, as_schedule
from .cyclical import Cyclical
from .ramps import Cosine, Linear, Sigmoid, Step

__all__ = [
    "Constant",
    "Cosine",
    "Cyclical",
    "Function",
    "Linear",
    "Schedule",
    "Sigmoid",
    "Step",
    "as_schedule",
]
