"""Markdown tables of the benchmark scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def mean_and_error(values: Sequence[float], shape: str = ".2f") -> str:
    """The mean of independent runs and its standard error: one run has none."""
    runs = torch.tensor(values, dtype=torch.float64)
    if len(runs) == 1:
        return f"{runs.item():{shape}}"
    return f"{runs.mean().item():{shape}} ± {runs.std().item() / math.sqrt(len(runs)):{shape}}"
