"""A logistic distribution rounded to levels between 0 and 1, and mixtures of it."""

from __future__ import annotations

from typing import ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint
from torch.nn.functional import logsigmoid

from ._elementwise import ONE, Elementwise, Shape


class Levels(Constraint):
    """The numbers k / (levels - 1) for k = 0, ..., levels - 1, up to rounding."""

    is_discrete = True

    def __init__(self, levels: int) -> None:
        self.levels = levels
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        k = value * (self.levels - 1)
        near = (k - k.round()).abs() < 1e-3
        return near & (k.round() >= 0) & (k.round() <= self.levels - 1)


class DiscretizedLogistic(Elementwise):
    r"""The probability that a logistic variable falls nearest to the level x.

    With half the distance of two levels :math:`\delta`, and the endpoints of the interval around x
    standardised, :math:`a = (x - \delta - \mu)/s` and :math:`b = (x + \delta - \mu)/s`,

    .. math:: P(x) = \sigma(b) - \sigma(a) = \sigma(b)\, \sigma(-a)\, (1 - e^{-2\delta/s})

    whose logarithm has no cancellation anywhere. The lowest level has all the mass below it,
    :math:`\sigma(b)`, and the highest all above it, :math:`\sigma(-a)`.

    Args:
        loc, scale: of the logistic variable, in units of x.
        levels: how many.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    loc: Tensor
    scale: Tensor

    def __init__(
        self, loc: Tensor, scale: Tensor, levels: int = 256, validate_args: bool | None = None
    ) -> None:
        self.levels = levels
        super().__init__(validate_args, loc=loc, scale=scale)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return Levels(self.levels)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        half = 0.5 / (self.levels - 1)
        lowest, highest = value < half, value > 1 - half
        error, width = (value - self.loc) / self.scale, half / self.scale
        below = torch.where(highest, 0.0, logsigmoid(error + width))
        above = torch.where(lowest, 0.0, logsigmoid(width - error))
        inner = torch.where(lowest | highest, 0.0, (-(-2 * width).expm1()).log())
        return below + above + inner

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            value = self.loc + self.scale * self._uniform(sample_shape).logit()
            top = self.levels - 1
            return (value * top).round().clamp(0, top) / top

    @property
    def mean(self) -> Tensor:
        """The sum over levels k of P(X >= k), in units of x."""
        total = torch.zeros_like(self.loc)
        # One level at a time: all at once would take 255 times the memory of x.
        for k in range(1, self.levels):
            edge = (k - 0.5) / (self.levels - 1)
            total = total + torch.sigmoid((self.loc - edge) / self.scale)
        return total / (self.levels - 1)


class DiscretizedLogisticMixture(dist.MixtureSameFamily):
    """A mixture of discretised logistics, by Pyro's own mixture; named for messages."""
