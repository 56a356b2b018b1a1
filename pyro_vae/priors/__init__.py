"""Priors p(z). A part is a module whose call returns a Pyro distribution."""

from .base import Prior
from .standard_normal import StandardNormal

__all__ = ["Prior", "StandardNormal"]
