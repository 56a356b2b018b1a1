"""A mean over examples with its standard error."""

from __future__ import annotations

from torch import Tensor


def mean_and_error(values: Tensor) -> tuple[float, float]:
    r"""Mean and standard error :math:`s / \sqrt n` of ``(n,)`` values; the error of one is nan.

    >>> import torch
    >>> mean_and_error(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    exact = values.detach().cpu().double()
    n = len(exact)
    error = (exact.std() / n**0.5).item() if n > 1 else float("nan")
    return exact.mean().item(), error
