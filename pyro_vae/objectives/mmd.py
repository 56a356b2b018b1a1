"""The maximum mean discrepancy between two sets of points."""

from __future__ import annotations

import torch
from torch import Tensor

from .kernels import Kernel


def mmd(a: Tensor, b: Tensor, kernel: Kernel, unbiased: bool = True) -> Tensor:
    r"""The squared maximum mean discrepancy between the distributions of two sets of points.

    .. math:: \mathrm{MMD}^2 = \mathbb E\,k(a, a') - 2\,\mathbb E\,k(a, b)
        + \mathbb E\,k(b, b')

    Args:
        a, b: ``(*batch, n, d)`` and ``(*batch, m, d)``, independent draws.
        kernel: see :class:`~pyro_vae.objectives.Kernel`.
        unbiased: leave out the pairs of a point with itself; the estimate may then be negative.
            With them it never is, and too large by about (1/n + 1/m) E[k(a, a) - k(a, a')].

    Returns ``(*batch,)``. Raises ``ValueError`` for points of different lengths, and for fewer
    than two points where the estimate is to be unbiased.

    Gretton et al. 2012, *A Kernel Two-Sample Test*.

    >>> from pyro_vae.objectives.kernels import RBF
    >>> points = torch.tensor([[0.0], [1.0]])
    >>> float(mmd(points, points, RBF(), unbiased=False))
    0.0
    """
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"the points to compare have {a.shape[-1]} and {b.shape[-1]} dimensions: give both "
            "the same"
        )
    if unbiased and min(a.shape[-2], b.shape[-2]) < 2:
        raise ValueError("an unbiased estimate needs two points of each kind: enlarge the batch")
    return (
        _mean(kernel(a, a), unbiased)
        + _mean(kernel(b, b), unbiased)
        - 2.0 * kernel(a, b).mean((-2, -1))
    )


def _mean(k: Tensor, unbiased: bool) -> Tensor:
    """Over all pairs, or over those of different points."""
    if not unbiased:
        return k.mean((-2, -1))
    n = k.shape[-1]
    itself = torch.eye(n, dtype=torch.bool, device=k.device)
    return k.masked_fill(itself, 0.0).sum((-2, -1)) / (n * (n - 1))
