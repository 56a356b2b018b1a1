"""Objectives: reductions of one table of terms."""

from .base import Objective, Split, split
from .check import Checkup, check
from .elbo import ELBO
from .errors import ProgramError
from .explain import Explanation, explain
from .passes import untouched_randomness
from .problems import observation_problems
from .registered import modules_of
from .site import SiteTerm
from .terms import Terms, site_terms

__all__ = [
    "ELBO",
    "Checkup",
    "Explanation",
    "Objective",
    "ProgramError",
    "SiteTerm",
    "Split",
    "Terms",
    "check",
    "explain",
    "modules_of",
    "observation_problems",
    "site_terms",
    "split",
    "untouched_randomness",
]
