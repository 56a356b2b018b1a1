"""The root of a monotone function that has no formula."""

from __future__ import annotations

import torch
from torch import Tensor


def solve_tanh(target: Tensor, height: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    r"""v with v + h tanh(s v + c) = t, where h s > -1 makes that the only one.

    By halving an interval that must hold it, to the last digit in a fixed number of steps; then
    one step of Newton, whose gradient is that of the root in every argument.

    >>> v = solve_tanh(*torch.tensor([2.0, 1.5, 0.75, -0.5]).double())
    >>> round((v + 1.5 * torch.tanh(0.75 * v - 0.5)).item(), 12)
    2.0
    """
    with torch.no_grad():
        low, high = target - height.abs(), target + height.abs()
        low, high, _ = torch.broadcast_tensors(low, high, slope * shift)
        for _ in range(60):
            middle = (low + high) / 2
            above = middle + height * torch.tanh(slope * middle + shift) > target
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        root = (low + high) / 2
        steepness = 1 + height * slope * (1 - torch.tanh(slope * root + shift) ** 2)
    excess = root + height * torch.tanh(slope * root + shift) - target
    return root - excess / steepness
