"""The logit-normal distribution, with its mean."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint
from torch.special import ndtr

from ._elementwise import ONE, Elementwise, Shape
from ._unit import OpenUnit, inside_open_unit


class LogitNormal(Elementwise):
    """A number in (0, 1) whose logit is normal.

    Args:
        loc, scale: of the logit.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = OpenUnit()
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, scale=scale)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        left, right = value.log(), (-value).log1p()
        error = (left - right - self.loc) / self.scale
        normal = -0.5 * error.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)
        return normal - left - right  # the logit's slope is 1 / (x (1 - x))

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            noise = torch.randn(
                self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device
            )
            return inside_open_unit((self.loc + self.scale * noise).sigmoid())

    @property
    def mean(self) -> Tensor:
        r"""By the trapezoidal rule, which is exact to 1e-9 here; there is no closed form.

        For a scale up to 1 over the normal: :math:`\int \mathrm{sigmoid}(\mu + \sigma e)
        \phi(e)\,de`. For a greater one over a logistic variable, since sigmoid is its
        distribution function: :math:`\int \Phi((\mu - l) / \sigma)\, \mathrm{sigmoid}'(l)\,dl`.
        Each integrand is as wide as its step is narrow.
        """
        narrow, wide = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
        # One node at a time: as many at once would take that many times the memory of x.
        for node in _nodes(9.0, 0.5):
            weight = 0.5 * math.exp(-0.5 * node * node) / math.sqrt(2 * math.pi)
            narrow = narrow + weight * (self.loc + self.scale.clamp(max=1.0) * node).sigmoid()
        for node in _nodes(40.0, 0.5):
            weight = 0.125 / math.cosh(node / 2) ** 2
            wide = wide + weight * ndtr((self.loc - node) / self.scale.clamp(min=1.0))
        return torch.where(self.scale <= 1, narrow, wide)


def _nodes(end: float, step: float) -> list[float]:
    count = round(end / step)
    return [step * k for k in range(-count, count + 1)]
