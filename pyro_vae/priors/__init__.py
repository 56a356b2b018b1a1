"""Priors p(z). A part is a module whose call returns a Pyro distribution."""

from .base import Prior
from .categorical import Categorical
from .dirichlet import Dirichlet
from .flow_prior import FlowPrior
from .laplace import Laplace
from .learned_normal import LearnedNormal
from .mixture_of_normals import MixtureOfNormals
from .relaxed_categorical import RelaxedCategorical
from .resampled import ResampledPrior
from .standard_normal import StandardNormal
from .student_t import StudentT
from .uniform import Uniform
from .vamp import VampPrior

__all__ = [
    "Categorical",
    "Dirichlet",
    "FlowPrior",
    "Laplace",
    "LearnedNormal",
    "MixtureOfNormals",
    "Prior",
    "RelaxedCategorical",
    "ResampledPrior",
    "StandardNormal",
    "StudentT",
    "Uniform",
    "VampPrior",
]
