"""Evaluation: what two trained programs are worth, and what they make of data."""

from .active_units import ActiveUnits, active_units
from .collapse import CollapseReport, collapse_report
from .encoding import encode
from .evaluate import evaluate
from .evidence import Evidence, log_evidence
from .generation import decode, generate
from .kl import kl_per_dimension
from .reconstruction import reconstruct
from .report import Report

__all__ = [
    "ActiveUnits",
    "CollapseReport",
    "Evidence",
    "Report",
    "active_units",
    "collapse_report",
    "decode",
    "encode",
    "evaluate",
    "generate",
    "kl_per_dimension",
    "log_evidence",
    "reconstruct",
]
