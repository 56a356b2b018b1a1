"""An accuracy as a finding."""

from __future__ import annotations

import math

from pyro_vae.evaluation import Accuracy

from .view import Finding, line


def accuracy_finding(
    accuracy: Accuracy, name: str = "accuracy", title: str = "accuracy"
) -> list[Finding]:
    """Overall with its standard error, and of each class."""
    each = [None if math.isnan(a) else a for a in accuracy.by_class.tolist()]
    shown = ", ".join(f"{k}: {'-' if a is None else f'{a:.0%}'}" for k, a in enumerate(each))
    if len(each) > 20:
        shown = f"{min(a for a in each if a is not None):.0%} of the worst of {len(each)}"
    note = f"± {accuracy.stderr:.1%} (by class {shown})"
    return [
        Finding(name, accuracy.overall, line(title, f"{accuracy.overall:.1%}", note)),
        Finding(f"{name}_by_class", each, ""),
    ]
