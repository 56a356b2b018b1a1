"""Objectives: reductions of one table of terms."""

from .adversarial import AdversarialELBO
from .base import Objective, Split, split
from .beta import BetaELBO
from .capacity import CapacityELBO
from .chi import ChiUpperBound
from .dip import DIPELBO
from .elbo import ELBO
from .explain import Explanation, explain
from .factor import FactorELBO
from .free_bits import FreeBits
from .geco import GECO
from .importance import ImportanceWeightedELBO
from .info import InfoELBO
from .kernels import RBF, InverseMultiquadratic, Kernel
from .partial import CIWAE, MIWAE, PIWAE
from .renyi import RenyiELBO
from .site_beta import SiteBetaELBO
from .thermodynamic import ThermodynamicELBO
from .total_correlation import TotalCorrelationELBO
from .wake_sleep import WakeSleepELBO
from .wasserstein import WassersteinELBO

__all__ = [
    "AdversarialELBO",
    "BetaELBO",
    "CIWAE",
    "CapacityELBO",
    "ChiUpperBound",
    "DIPELBO",
    "ELBO",
    "Explanation",
    "FactorELBO",
    "FreeBits",
    "GECO",
    "ImportanceWeightedELBO",
    "InfoELBO",
    "InverseMultiquadratic",
    "Kernel",
    "MIWAE",
    "Objective",
    "PIWAE",
    "RBF",
    "RenyiELBO",
    "SiteBetaELBO",
    "Split",
    "ThermodynamicELBO",
    "TotalCorrelationELBO",
    "WakeSleepELBO",
    "WassersteinELBO",
    "explain",
    "split",
]
