"""Evaluation: what two trained programs are worth, and what they make of data."""

from .active_units import ActiveUnits, active_units
from .classify import Accuracy, accuracy, classify
from .clusters import Clusters, match_clusters
from .collapse import CollapseReport, collapse_report
from .completion import complete, parted
from .encoding import encode
from .evaluate import evaluate
from .evidence import Evidence, log_evidence
from .generation import decode, generate
from .impute import impute, multiple_imputations
from .kl import kl_per_dimension
from .layers import kl_per_site, redraw
from .reconstruction import reconstruct
from .report import Report

__all__ = [
    "Accuracy",
    "ActiveUnits",
    "Clusters",
    "CollapseReport",
    "Evidence",
    "Report",
    "accuracy",
    "active_units",
    "classify",
    "collapse_report",
    "complete",
    "decode",
    "encode",
    "evaluate",
    "generate",
    "impute",
    "kl_per_dimension",
    "kl_per_site",
    "log_evidence",
    "match_clusters",
    "multiple_imputations",
    "parted",
    "reconstruct",
    "redraw",
]
