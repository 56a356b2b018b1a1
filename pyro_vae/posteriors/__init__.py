"""Posteriors q(z|x): a network and a variational family."""

from .base import Posterior
from .committed_normal import CommittedNormal
from .diagonal_normal import DiagonalNormal
from .dirichlet import Dirichlet
from .full_covariance_normal import FullCovarianceNormal
from .hamiltonian import Hamiltonian
from .householder import Householder
from .inverse_autoregressive import InverseAutoregressive
from .laplace import Laplace
from .low_rank_normal import LowRankNormal
from .mixture_of_normals import MixtureOfNormals
from .per_example import PerExample
from .planar import Planar
from .semi_amortized import SemiAmortized
from .spline import Spline
from .student_t import StudentT
from .sylvester import Sylvester

__all__ = [
    "CommittedNormal",
    "DiagonalNormal",
    "Dirichlet",
    "FullCovarianceNormal",
    "Hamiltonian",
    "Householder",
    "InverseAutoregressive",
    "Laplace",
    "LowRankNormal",
    "MixtureOfNormals",
    "PerExample",
    "Planar",
    "Posterior",
    "SemiAmortized",
    "Spline",
    "StudentT",
    "Sylvester",
]
