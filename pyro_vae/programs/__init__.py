"""The programs: a family a file, its ``Model`` and ``Guide`` side by side."""

from . import (
    clustering,
    code_priors,
    codebook,
    conditional,
    corruption,
    counts,
    denoising,
    discrete,
    hierarchical,
    linear,
    missing,
    not_at_random,
    residual,
    semi_supervised,
    solutions,
    vae,
    vector_quantised,
)
from .joint import LogJoint, log_joint
from .pair import VAE
from .registration import Program

__all__ = [
    "VAE",
    "LogJoint",
    "Program",
    "clustering",
    "code_priors",
    "codebook",
    "conditional",
    "corruption",
    "counts",
    "denoising",
    "discrete",
    "hierarchical",
    "linear",
    "log_joint",
    "missing",
    "not_at_random",
    "residual",
    "semi_supervised",
    "solutions",
    "vae",
    "vector_quantised",
]
