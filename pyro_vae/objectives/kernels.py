"""Kernels, by which two sets of points are compared."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class Kernel(ABC):
    r"""A positive definite function of two points, of their distance alone.

    The unit of length is that of the latent space: two independent draws of a standard normal in
    d dimensions are at a squared distance of :math:`2d` on average, and ``scales`` are multiples
    of that. A kernel is the sum over its scales, so that it sees near and far differences.

    To add one, implement ``_of(squares, c)``.

    Args:
        scales: positive numbers, one or more.

    Call: ``kernel(a, b)`` with a ``(*batch, n, d)`` and b ``(*batch, m, d)`` gives
    ``(*batch, n, m)``.

    Raises ``ValueError`` for scales that are not positive numbers.
    """

    def __init__(self, scales: Sequence[float]) -> None:
        self.scales = tuple(float(scale) for scale in scales)
        if not self.scales or not all(s > 0.0 and math.isfinite(s) for s in self.scales):
            raise ValueError(f"scales are one or more positive numbers, not {scales!r}")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        squares, d = squared_distances(a, b), a.shape[-1]
        return torch.stack([self._of(squares, 2.0 * d * scale) for scale in self.scales]).sum(0)

    @abstractmethod
    def _of(self, squares: Tensor, c: float) -> Tensor:
        """The kernel with constant c (a squared length) at these squared distances."""


class RBF(Kernel):
    r"""Gaussian kernels,

    .. math:: k(a, b) = \sum_s \exp\!\Bigl(-\frac{\|a - b\|^2}{2 d s}\Bigr).

    Gretton et al. 2012, *A Kernel Two-Sample Test*.

    >>> float(RBF([1.0])(torch.zeros(1, 1), torch.full((1, 1), 2.0)).log())
    -2.0
    """

    def __init__(self, scales: Sequence[float] = (1.0,)) -> None:
        super().__init__(scales)

    def _of(self, squares: Tensor, c: float) -> Tensor:
        return torch.exp(-squares / c)


class InverseMultiquadratic(Kernel):
    r"""Inverse multiquadratic kernels, whose tails are heavy enough to see far outliers,

    .. math:: k(a, b) = \sum_s \frac{2 d s}{2 d s + \|a - b\|^2}.

    Tolstikhin et al. 2018, *Wasserstein Auto-Encoders*, whose scales are the default.

    >>> float(InverseMultiquadratic([1.0])(torch.zeros(1, 1), torch.full((1, 1), 2.0)))
    0.3333333432674408
    """

    def __init__(self, scales: Sequence[float] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> None:
        super().__init__(scales)

    def _of(self, squares: Tensor, c: float) -> Tensor:
        return c / (c + squares)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Between every point of a ``(*batch, n, d)`` and of b ``(*batch, m, d)``.

    >>> squared_distances(torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0]]))
    tensor([[1.],
            [4.]])
    """
    # Not the n m d differences, which would fill the memory; centred, so that little is lost.
    centre = b.detach().mean(-2, keepdim=True)
    a, b = a - centre, b - centre
    sizes = a.square().sum(-1).unsqueeze(-1) + b.square().sum(-1).unsqueeze(-2)
    return (sizes - 2.0 * a @ b.mT).clamp(min=0.0)
