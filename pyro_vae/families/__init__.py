"""Families: how the programs are assembled from named parts and data, for the command line."""

from .base import Family
from .clustering import clustering
from .conditional import conditional
from .hierarchical import hierarchical
from .parts import Parts
from .semi_supervised import semi_supervised
from .vae import vae
from .view import Finding, View

__all__ = [
    "Family",
    "Finding",
    "Parts",
    "View",
    "clustering",
    "conditional",
    "hierarchical",
    "semi_supervised",
    "vae",
]
