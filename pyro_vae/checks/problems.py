"""What can be wrong with two traced programs: one line each, with the site and the cure."""

from .structure import matching_problems, observed_in_guide, shape_problems
from .values import density_problems, observation_problems, value_problems

__all__ = [
    "density_problems",
    "matching_problems",
    "observation_problems",
    "observed_in_guide",
    "shape_problems",
    "value_problems",
]
