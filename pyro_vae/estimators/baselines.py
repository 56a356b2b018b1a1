"""What the score function's signal is compared with, so that it varies less."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningBaseline(nn.Module):
    """The running mean and variance of a site's signal, of the steps before this one.

    What a step's own samples have no part in leaves the gradient's mean as it is.

    Args:
        decay: part of the old that each step keeps.
        like: a tensor of the signal's type and device.

    >>> baseline = RunningBaseline(0.9, torch.zeros(()))
    >>> [float(baseline(torch.tensor([s]), None)[0]) for s in (4.0, 2.0, 2.0)]
    [0.0, 4.0, 3.0]
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, decay: float, like: Tensor) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", like.new_zeros(()))
        self.register_buffer("variance", like.new_ones(()))
        self.register_buffer("count", like.new_zeros(()))

    def forward(self, signal: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor | float]:
        """The baseline for a signal ``(particles, ...)``, and its loss."""
        mean = self.mean.clone()
        self.update(signal)
        return mean, 0.0

    @torch.no_grad()
    def update(self, signal: Tensor) -> None:
        """Take in a step's signals; the first few count alike, however long the memory."""
        self.count += 1
        rate = (1.0 / self.count).clamp(min=1.0 - self.decay)
        step = signal.mean() - self.mean
        spread = (signal - self.mean).square().mean()  # about the old mean
        self.variance += rate * (spread - self.variance - rate * step.square())
        self.mean += rate * step


class LearnedBaseline(RunningBaseline):
    """What a network of x expects of the signal, in units of its running mean and deviation.

    Args:
        decay, like: as in :class:`RunningBaseline`.
        network: from x to one number for each example.
        dim: the examples' dimension in the signal, counted from the right.
    """

    def __init__(self, decay: float, like: Tensor, network: nn.Module, dim: int) -> None:
        super().__init__(decay, like)
        self.network, self.dim = network, dim

    def forward(self, signal: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor | float]:
        assert x is not None
        deviation = self.variance.sqrt().clamp(min=1.0)  # the first step knows of no spread
        target = (signal - self.mean) / deviation
        expected = self.network(x.to(signal.dtype)).reshape(
            len(x), *(1 for _ in range(-self.dim - 1))
        )
        # A mean over particles and inner plates, a sum over examples: as the bound's own scale.
        loss = (target.detach() - expected).square().mean() * len(x) * signal.shape[0]
        baseline = (self.mean + deviation * expected).detach()
        self.update(signal)
        return baseline, loss


def leave_one_out(signal: Tensor) -> Tensor:
    """The mean over the other particles, ``(particles, ...)``.

    >>> leave_one_out(torch.tensor([1.0, 2.0, 6.0]))
    tensor([4.0000, 3.5000, 1.5000])
    """
    return (signal.sum(0, keepdim=True) - signal) / (len(signal) - 1)
