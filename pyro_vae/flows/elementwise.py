"""Monotone maps of single numbers, with parameters for each."""

from __future__ import annotations

import math
from abc import abstractmethod

from torch import Tensor

#: The least slope: a map of numbers stretches by at most its inverse.
SLOPE = 1e-3


class Elementwise:
    """A monotone map of numbers, whose parameters are a tensor's last dimension.

    To add one: say how many ``parameters`` a number takes (zeros must give the identity), and
    implement ``forth`` and ``back``: ``(*batch,)`` and ``(*batch, parameters)`` to the image and
    the logarithm of the slope of ``forth``, both ``(*batch,)``.
    """

    parameters: int

    @abstractmethod
    def forth(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The image of x, and the log-slope there."""

    @abstractmethod
    def back(self, y: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """What maps to y, and the log-slope of ``forth`` there."""


class Affine(Elementwise):
    r"""y = m + e^s x, with the log-scale s held softly within the bounds of ``SLOPE``.

    >>> import torch
    >>> Affine().forth(torch.tensor(2.0), torch.tensor([1.0, 0.0]))
    (tensor(3.), tensor(0.))
    """

    parameters = 2

    def forth(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = theta[..., 0], soften(theta[..., 1])
        y = shift + log_scale.exp() * x
        return y, log_scale.expand_as(y)

    def back(self, y: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = theta[..., 0], soften(theta[..., 1])
        x = (y - shift) * (-log_scale).exp()
        return x, log_scale.expand_as(x)


def soften(value: Tensor, bound: float = -math.log(SLOPE)) -> Tensor:
    r"""v / (1 + |v| / b): v near zero, never beyond +-b, with a gradient everywhere.

    >>> import torch
    >>> soften(torch.tensor([0.0, 1e9]), bound=2.0)
    tensor([0., 2.])
    """
    return value / (1 + value.abs() / bound)
