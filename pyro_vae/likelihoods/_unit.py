"""The open unit interval."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint


class OpenUnit(Constraint):
    """Numbers strictly between 0 and 1."""

    def check(self, value: Tensor) -> Tensor:
        return (value > 0) & (value < 1)


def inside_open_unit(value: Tensor) -> Tensor:
    """Move what was rounded to 0 or 1 to the nearest number in between.

    >>> inside_open_unit(torch.tensor([0.0, 0.5, 1.0])) < 1
    tensor([True, True, True])
    """
    info = torch.finfo(value.dtype)
    return value.clamp(info.tiny, 1 - info.eps / 2)
