"""Posteriors q(z|x): a network and a variational family."""

from .base import Posterior
from .diagonal_normal import DiagonalNormal

__all__ = ["DiagonalNormal", "Posterior"]
