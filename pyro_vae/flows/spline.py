"""Monotone splines of single numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .elementwise import Elementwise, soften


class RationalQuadratic(Elementwise):
    r"""A monotone rational-quadratic spline on [-B, B], the identity outside.

    Between two knots, with :math:`t` the place in the bin, :math:`s` its mean slope and
    :math:`d_0, d_1` the slopes at its ends,

    .. math:: y = y_0 + \frac{(y_1 - y_0) (s t^2 + d_0 t (1-t))}{s + (d_0 + d_1 - 2s) t (1-t)},

    which inverts by a quadratic equation. The parameters are the logits of the bins' widths and
    of their heights, and the log-slopes at the inner knots; the slope is 1 at both ends.

    Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*.

    Args:
        bins: number of bins.
        bound: half the width B of the part that is not the identity.

    Raises ``ValueError`` where a number is not positive.

    >>> spline = RationalQuadratic(bins=4)
    >>> y, _ = spline.forth(torch.tensor(0.7), torch.arange(11) / 10)
    >>> round(spline.back(y, torch.arange(11) / 10)[0].item(), 4)
    0.7
    """

    def __init__(self, bins: int = 8, bound: float = 5.0) -> None:
        if bins < 1:
            raise ValueError(f"bins is at least 1, not {bins}")
        if not bound > 0:
            raise ValueError(f"bound is positive, not {bound}")
        self.bins, self.bound = bins, bound
        self.parameters = 3 * bins - 1

    def forth(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        knots = self._knots(theta)
        inside = x.abs() < self.bound
        b = _bin(knots, x, knots[0])
        # Outside, the first bin's middle: any finite number, for a gradient that is finite too.
        t = torch.where(inside, (x - b.x) / b.width, 0.5)
        y = b.y + b.height * (b.slope * t**2 + b.d0 * t * (1 - t)) / b.denominator(t)
        return torch.where(inside, y, x), torch.where(inside, b.log_slope(t), 0.0)

    def back(self, y: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        knots = self._knots(theta)
        inside = y.abs() < self.bound
        b = _bin(knots, y, knots[1])
        rise = torch.where(inside, y - b.y, 0.5 * b.height)
        bend = rise * (b.d0 + b.d1 - 2 * b.slope)
        a = b.height * (b.slope - b.d0) + bend
        half = b.height * b.d0 - bend
        c = -b.slope * rise
        # The form of the root that stays precise where a vanishes; rounding may pass zero.
        t = -2 * c / (half + (half**2 - 4 * a * c).clamp_min(0).sqrt())
        x = b.x + t * b.width
        return torch.where(inside, x, y), torch.where(inside, b.log_slope(t), 0.0)

    def _knots(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        widths, heights, slopes = theta.split([self.bins, self.bins, self.bins - 1], -1)
        # Of two bins one may be SLOPE times the other; each logit bears half of that.
        half = soften(2 * widths) / 2, soften(2 * heights) / 2
        places = [
            self.bound * (2 * pad(logits.softmax(-1).cumsum(-1), (1, 0)) - 1) for logits in half
        ]
        return places[0], places[1], pad(soften(slopes), (1, 1)).exp()


class _Bin(NamedTuple):
    """The bin that a number falls in."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    d0: Tensor
    d1: Tensor

    @property
    def slope(self) -> Tensor:
        return self.height / self.width

    def denominator(self, t: Tensor) -> Tensor:
        return self.slope + (self.d0 + self.d1 - 2 * self.slope) * t * (1 - t)

    def log_slope(self, t: Tensor) -> Tensor:
        numerator = self.d1 * t**2 + 2 * self.slope * t * (1 - t) + self.d0 * (1 - t) ** 2
        return 2 * self.slope.log() + numerator.log() - 2 * self.denominator(t).log()


def _bin(knots: tuple[Tensor, Tensor, Tensor], value: Tensor, among: Tensor) -> _Bin:
    """The bin of ``value`` among the knots of its own axis."""
    # The outermost knots are left out of the count, so that every number has some bin.
    index = (value[..., None] >= among[..., 1:-1]).sum(-1, keepdim=True)

    def at(places: Tensor, index: Tensor) -> Tensor:
        return places.expand(*index.shape[:-1], -1).gather(-1, index)[..., 0]

    x, y, d = knots
    x0, y0 = at(x, index), at(y, index)
    right = index + 1
    return _Bin(x0, y0, at(x, right) - x0, at(y, right) - y0, at(d, index), at(d, right))
