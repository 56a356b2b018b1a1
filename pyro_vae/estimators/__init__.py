"""Gradient estimators: how the gradient of an expectation goes through a guide's samples."""

from .base import (
    Estimator,
    Learned,
    LeaveOneOut,
    Pathwise,
    RunningMean,
    Score,
    StickingTheLanding,
)
from .choice import ESTIMATORS, as_estimator
from .discrete import Enumerate, GumbelSoftmax, StraightThrough

__all__ = [
    "ESTIMATORS",
    "Enumerate",
    "Estimator",
    "GumbelSoftmax",
    "Learned",
    "LeaveOneOut",
    "Pathwise",
    "RunningMean",
    "Score",
    "StickingTheLanding",
    "StraightThrough",
    "as_estimator",
]
