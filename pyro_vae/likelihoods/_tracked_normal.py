"""A normal that reports how far off its mean was."""

from __future__ import annotations

from collections.abc import Callable

import pyro.distributions as dist
import torch
from torch import Tensor


class TrackedNormal(dist.Normal):
    """A normal that hands its squared errors to ``follow`` *after* their density was computed.

    Only where a gradient is asked for, as in training: scoring under ``torch.no_grad`` reports
    nothing.
    """

    follow: Callable[[Tensor], None] | None = None

    def expand(self, batch_shape, _instance=None):
        new = super().expand(batch_shape, _instance)
        new.follow = self.follow
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        density = super().log_prob(value)
        if self.follow is not None and torch.is_grad_enabled():
            with torch.no_grad():
                self.follow((value - self.loc).square())
        return density
