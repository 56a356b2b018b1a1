"""Objectives: reductions of one table of terms."""

from . import schedules
from .adversarial import AdversarialELBO
from .base import Objective, Split, split
from .beta import BetaELBO
from .capacity import CapacityELBO
from .check import Checkup, check
from .chi import ChiUpperBound
from .dip import DIPELBO
from .discrete_estimators import Enumerate, GumbelSoftmax, StraightThrough
from .elbo import ELBO
from .errors import ProgramError
from .estimators import (
    Estimator,
    Learned,
    LeaveOneOut,
    Pathwise,
    RunningMean,
    Score,
    StickingTheLanding,
)
from .explain import Explanation, explain
from .factor import FactorELBO
from .free_bits import FreeBits
from .geco import GECO
from .importance import ImportanceWeightedELBO
from .info import InfoELBO
from .information import mutual_information
from .partial import CIWAE, MIWAE, PIWAE
from .passes import untouched_randomness
from .problems import observation_problems
from .registered import modules_of
from .renyi import RenyiELBO
from .schedules import Schedule
from .site import SiteTerm
from .stopped import stopped_log_p, stopped_log_q
from .terms import Terms, site_terms
from .thermodynamic import ThermodynamicELBO
from .total_correlation import TotalCorrelationELBO
from .wake_sleep import WakeSleepELBO
from .wasserstein import WassersteinELBO

__all__ = [
    "StickingTheLanding",
    "Score",
    "RunningMean",
    "Pathwise",
    "LeaveOneOut",
    "Learned",
    "Estimator",
    "StraightThrough",
    "GumbelSoftmax",
    "Enumerate",
    "AdversarialELBO",
    "BetaELBO",
    "CIWAE",
    "CapacityELBO",
    "Checkup",
    "ChiUpperBound",
    "DIPELBO",
    "ELBO",
    "Explanation",
    "FactorELBO",
    "FreeBits",
    "GECO",
    "ImportanceWeightedELBO",
    "InfoELBO",
    "MIWAE",
    "Objective",
    "PIWAE",
    "ProgramError",
    "RenyiELBO",
    "Schedule",
    "SiteTerm",
    "Split",
    "Terms",
    "ThermodynamicELBO",
    "TotalCorrelationELBO",
    "WakeSleepELBO",
    "WassersteinELBO",
    "check",
    "explain",
    "modules_of",
    "mutual_information",
    "observation_problems",
    "site_terms",
    "split",
    "stopped_log_p",
    "stopped_log_q",
    "untouched_randomness",
    "schedules",
]
