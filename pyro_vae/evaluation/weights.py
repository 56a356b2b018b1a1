"""Importance weights that arrive in parts."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class RunningWeights:
    r"""Mean and effective number of importance weights, kept while they arrive.

    .. math::
        \log \frac1K \sum_k w_k, \qquad \mathrm{ESS} = \frac{(\sum_k w_k)^2}{\sum_k w_k^2}

    The sums are kept relative to the largest weight so far, so nothing over- or underflows.

    Kong 1992, *A Note on Importance Sampling using Standardized Weights*, for the ESS.

    >>> running = RunningWeights()
    >>> running.add(torch.tensor([[1000.0], [1000.0]]))
    >>> running.add(torch.tensor([[1000.0], [-torch.inf]]))
    >>> running.log_mean - 1000, running.effective_sample_size   # log 3/4, 3
    (tensor([-0.2877]), tensor([3.]))
    """

    def __init__(self) -> None:
        self._count = 0
        self._largest: Tensor | None = None
        self._sum: Tensor
        self._squares: Tensor

    def add(self, log_weights: Tensor) -> None:
        """Take in ``(particles, batch)`` more of them."""
        largest = log_weights.amax(0)
        if self._largest is None:
            self._largest = torch.full_like(largest, -math.inf)
            self._sum, self._squares = torch.zeros_like(largest), torch.zeros_like(largest)
        largest = torch.maximum(largest, self._largest)
        # Where every weight is zero so far the reference is 0, since -inf - -inf is nan.
        reference = largest.where(largest > -math.inf, 0.0)
        weights = (log_weights - reference).exp()
        rescale = (self._largest - reference).exp()
        self._sum = self._sum * rescale + weights.sum(0)
        self._squares = self._squares * rescale.square() + weights.square().sum(0)
        self._largest = largest
        self._count += len(log_weights)

    @property
    def log_mean(self) -> Tensor:
        """Log of the mean weight, ``(batch,)``; -inf where every weight is zero."""
        assert self._largest is not None
        return self._largest + self._sum.clamp(min=1.0).log() - math.log(self._count)

    @property
    def effective_sample_size(self) -> Tensor:
        """ESS, ``(batch,)``; 0 where every weight is zero."""
        return (self._sum.square() / self._squares).nan_to_num(0.0)
