"""Objectives: reductions of one table of terms."""

from .base import Objective, Split, split
from .elbo import ELBO
from .errors import ProgramError
from .passes import untouched_randomness
from .site import SiteTerm
from .terms import Terms, site_terms

__all__ = [
    "ELBO",
    "Objective",
    "ProgramError",
    "SiteTerm",
    "Split",
    "Terms",
    "site_terms",
    "split",
    "untouched_randomness",
]
