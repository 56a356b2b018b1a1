"""The term table: one pass of a guide and a model, and what each site adds to a bound."""

from .errors import ProgramError
from .information import mutual_information
from .passes import Call, untouched_randomness
from .site import SiteTerm
from .stopped import stopped_log_p, stopped_log_q
from .table import Terms, site_terms

__all__ = [
    "Call",
    "ProgramError",
    "SiteTerm",
    "Terms",
    "mutual_information",
    "site_terms",
    "stopped_log_p",
    "stopped_log_q",
    "untouched_randomness",
]
