"""What would make a bound wrong without a word, found before the first step."""

from .check import Checkup, check
from .problems import observation_problems
from .registered import modules_of

__all__ = ["Checkup", "check", "modules_of", "observation_problems"]
