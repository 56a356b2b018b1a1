"""Ratios of gamma functions without the cancellation of two large logarithms."""

from __future__ import annotations

import torch
from torch import Tensor

#: From here on Stirling's series is exact to 1e-12.
_LARGE = 10.0


def log_gamma_ratio(a: Tensor, b: Tensor) -> Tensor:
    r""":math:`\log\Gamma(a+b) - \log\Gamma(a)` for ``a`` > 0 and ``b`` >= 0.

    At ``a`` = 1e6 each logarithm is 1e7, so in single precision their difference is off by 1. For
    large ``a`` Stirling's series is subtracted term by term instead:

    .. math:: (a - \tfrac12)\log(1 + b/a) + b\log(a + b) - b + c(a + b) - c(a), \quad
        c(x) = \tfrac1{12x} - \tfrac1{360x^3} + \tfrac1{1260x^5} - \tfrac1{1680x^7}

    >>> log_gamma_ratio(torch.tensor(1e6), torch.tensor(1.0))    # log of 1e6
    tensor(13.8155)
    """
    large = a >= _LARGE
    # Both branches are computed, and a gradient through the one not taken must stay finite.
    tall = torch.where(large, a, _LARGE)
    series = (tall - 0.5) * (b / tall).log1p() + b * (tall + b).log() - b
    series = series + _correction(tall + b) - _correction(tall)
    return torch.where(large, series, (a + b).lgamma() - a.lgamma())


def _correction(x: Tensor) -> Tensor:
    inverse = 1 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
