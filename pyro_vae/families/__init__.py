"""Families: how the programs are assembled from named parts and data, for the command line."""

from .base import Family
from .clustering import clustering
from .conditional import conditional
from .counts import counts
from .denoising import denoising
from .discrete import discrete
from .hierarchical import hierarchical
from .linear import linear
from .missing import missing
from .not_at_random import not_at_random
from .parts import Parts
from .residual import residual
from .semi_supervised import semi_supervised
from .vae import vae
from .vector_quantised import vector_quantised
from .view import Finding, View

__all__ = [
    "Family",
    "Finding",
    "Parts",
    "View",
    "clustering",
    "conditional",
    "counts",
    "denoising",
    "discrete",
    "hierarchical",
    "linear",
    "missing",
    "not_at_random",
    "residual",
    "semi_supervised",
    "vae",
    "vector_quantised",
]
