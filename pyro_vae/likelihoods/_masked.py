"""A mask under which the masked entries may hold anything."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor


class MaskedDistribution(dist.MaskedDistribution):
    """Pyro's masked distribution, blind to what stands in the masked entries.

    Pyro masks the log-probability once it is computed. What was computed from a value outside the
    support (nan, or a zero under a Beta) is then multiplied by a gradient of zero on the way back,
    and zero times nan is nan. So here a masked entry is replaced by a number of the support first.

    >>> loc = torch.zeros(2, requires_grad=True)
    >>> p = MaskedDistribution(dist.Normal(loc, 1.0), torch.tensor([True, False]))
    >>> p.log_prob(torch.tensor([1.0, float("nan")])).sum().backward()
    >>> loc.grad
    tensor([1., 0.])
    """

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(self._filled(value))

    def score_parts(self, value: Tensor):
        return super().score_parts(self._filled(value))

    def _filled(self, value: Tensor) -> Tensor:
        if isinstance(self._mask, bool):
            return value
        zero = torch.zeros_like(value)
        # Zero lies in every support here but in that of an open interval, where a half does.
        known = torch.where(self.base_dist.support.check(zero), zero, 0.5)
        return torch.where(self._mask, value, known)
