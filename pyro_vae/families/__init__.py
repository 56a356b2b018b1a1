"""Families: how the programs are assembled from named parts and data, for the command line."""

from .base import Family
from .parts import Parts
from .vae import vae
from .view import Finding, View

__all__ = [
    "Family",
    "Finding",
    "Parts",
    "View",
    "vae",
]
