"""How far what was filled in is from the truth."""

from __future__ import annotations

import math

from torch import Tensor

from .view import Finding, line


def filling_error(filled: Tensor, truth: Tensor, hidden: Tensor, means: Tensor) -> list[Finding]:
    """Root mean squared error over hidden entries, beside that of filling in the training means.

    Args:
        filled, truth: ``(n, *event)``.
        hidden: boolean, of that shape; at least one entry.
        means: of each entry over the training data, ``(*event)``.
    """
    error = _rmse((filled - truth)[hidden])
    plain = _rmse((means - truth)[hidden])
    note = f"RMSE of {int(hidden.sum()):,} hidden entries (training means: {plain:.3f})"
    return [
        Finding("imputation_rmse", error, line("imputation", f"{error:.3f}", note)),
        Finding("means_rmse", plain, ""),
    ]


def _rmse(error: Tensor) -> float:
    return math.sqrt(float(error.double().square().mean()))


def column_means(x: Tensor, known: Tensor) -> Tensor:
    """The mean of each entry over the examples of which it is known; 0 where of none.

    >>> import torch
    >>> column_means(torch.tensor([[1.0, 9.0], [3.0, 9.0]]), torch.tensor([[True, False]] * 2))
    tensor([2., 0.])
    """
    return (x * known).sum(0) / known.sum(0).clamp(min=1)
