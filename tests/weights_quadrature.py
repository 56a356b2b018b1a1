"""Expectations of functions of K importance weights, by integration instead of sampling.

For independent weights w_1..w_K with sum S, M(t) = E exp(-t w), and t = e^u,

    E log S            = int_0^inf (e^-t - M(t)^K) / t dt,
    E sum_k w_k h_k / S = K int_0^inf E[w h e^(-t w)] M(t)^(K-1) dt,

where every inner expectation is an integral over one standard normal number. Both integrands are
smooth in u and vanish at both ends, so that the trapezium rule is exact to many digits; torch
differentiates through it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def standard_normal(points: int = 401, width: float = 9.0) -> tuple[Tensor, Tensor]:
    """Nodes and probabilities of the trapezium rule."""
    e = torch.linspace(-width, width, points, dtype=torch.float64)
    p = (-0.5 * e.square()).exp()
    return e, p / p.sum()


@dataclass
class Weights:
    """The distribution of one log weight: values with probabilities."""

    log_w: Tensor
    p: Tensor
    steps: int = 1500

    def _times(self) -> tuple[Tensor, float]:
        low = -self.log_w.max().item() - 38.0 - math.log(1e4)
        high = -self.log_w[self.p > 1e-18].min().item() + 5.0
        u = torch.linspace(low, max(high, 4.0), self.steps, dtype=torch.float64)
        return u, (u[1] - u[0]).item()

    def _survival(self, u: Tensor) -> Tensor:
        """e^(-t w) for each t and w, ``(times, values)``."""
        return (-(u[:, None] + self.log_w).exp()).exp()

    def log_mean(self, k: int, power: float = 1.0) -> Tensor:
        """E[log 1/K sum w^power] / power."""
        scaled = Weights(power * self.log_w, self.p, self.steps)
        u, du = scaled._times()
        m = (scaled._survival(u) * self.p).sum(1)
        total = ((-u.exp()).exp() - m**k).sum() * du
        return (total - math.log(k)) / power

    def normalised(self, h: Tensor, k: int, power: float = 1.0) -> Tensor:
        """E[sum_k w~_k h_k] with the weights w^power normalised."""
        scaled = Weights(power * self.log_w, self.p, self.steps)
        if power == 0.0:
            return (self.p * h).sum()
        u, du = scaled._times()
        survival = scaled._survival(u)
        m = (survival * self.p).sum(1)
        inner = ((u[:, None] + scaled.log_w).exp() * h * survival * self.p).sum(1)
        return k * (inner * m ** (k - 1)).sum() * du

    def product(self, f: Tensor, g: Tensor, k: int, power: float = 1.0) -> Tensor:
        """E[(sum_k w~_k f_k) (sum_k w~_k g_k)]."""
        if power == 0.0:
            both = (self.p * f * g).sum()
            return both / k + (1 - 1 / k) * (self.p * f).sum() * (self.p * g).sum()
        scaled = Weights(power * self.log_w, self.p, self.steps)
        u, du = scaled._times()
        survival = scaled._survival(u)
        m = (survival * self.p).sum(1)
        tw = (u[:, None] + scaled.log_w).exp() * survival * self.p
        square = ((u[:, None] + scaled.log_w).exp() * tw * f * g).sum(1)
        cross = (tw * f).sum(1) * (tw * g).sum(1)
        return (k * square * m ** (k - 1) + k * (k - 1) * cross * m ** (k - 2)).sum() * du
