"""Stretching along one direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .bijection import Bijection
from .roots import solve_tanh


class Planar(Bijection):
    r"""y = x + u' tanh(w . x + b).

    It is invertible where :math:`w \cdot u' > -1`, so u' is u with its part along w changed:

    .. math:: u' = u + \big(m(w \cdot u) - w \cdot u\big) \frac{w}{|w|^2}, \qquad
        m(a) = \log(1 + (e - 1) e^a) - 1 > -1.

    This m differs from that of the paper by a shift: m(0) = 0, so that small parameters give
    nearly the identity. The inverse solves for :math:`w \cdot x`, one number.

    Rezende and Mohamed 2015, *Variational Inference with Normalizing Flows*.

    Args:
        u, w: ``(*batch, latent)``.
        b: ``(*batch, 1)``.

    >>> parameters = torch.tensor([[1.0, -2.0], [0.5, 0.3]]).double()
    >>> planar = Planar(*parameters, b=torch.zeros(1).double())
    >>> x = torch.tensor([0.4, -0.7]).double()
    >>> planar.back(planar.forth(x)[0])[0]
    tensor([ 0.4000, -0.7000], dtype=torch.float64)
    """

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__()
        along = (w * u).sum(-1, keepdim=True)
        square = (w * w).sum(-1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny)
        self.gain = softplus(along + math.log(math.e - 1)) - 1
        self.u = u + (self.gain - along) * w / square
        self.w, self.b = w, b

    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.tanh((self.w * x).sum(-1, keepdim=True) + self.b)
        return x + self.u * t, self._log_det(t)

    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        target = (self.w * y).sum(-1, keepdim=True)
        along = solve_tanh(target, self.gain, torch.ones_like(self.gain), self.b)
        t = torch.tanh(along + self.b)
        return y - self.u * t, self._log_det(t)

    def _log_det(self, t: Tensor) -> Tensor:
        return torch.log1p(self.gain * (1 - t**2)).squeeze(-1)
