"""The negative binomial distribution by its mean, stable as it turns Poisson."""

from __future__ import annotations

from typing import ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from ._elementwise import ONE, Elementwise, Shape
from ._gamma import log_gamma_ratio


class NegativeBinomial(Elementwise):
    r"""Poisson counts whose rate is gamma distributed: variance :math:`m + m^2/r`.

    .. math::
        P(x) = \frac{\Gamma(r + x)}{\Gamma(r)\, x!}
        \Bigl(\frac{m}{r + m}\Bigr)^x \Bigl(\frac{r}{r + m}\Bigr)^r

    PyTorch's takes r and the logit of m / (r + m), and subtracts logarithms of gamma functions of
    r and r + x: for an r of 1e6, that is, for data that are nearly Poisson, single precision
    leaves an error of 1 nat a count.

    Args:
        expected: m, the mean, positive.
        dispersion: r, positive; the smaller, the more the counts vary.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "expected": constraints.positive,
        "dispersion": constraints.positive,
    }
    support = constraints.nonnegative_integer
    expected: Tensor
    dispersion: Tensor

    def __init__(
        self, expected: Tensor, dispersion: Tensor, validate_args: bool | None = None
    ) -> None:
        super().__init__(validate_args, expected=expected, dispersion=dispersion)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        m, r = self.expected, self.dispersion
        ways = log_gamma_ratio(r, value) - (value + 1).lgamma()
        return ways + value * (m.log() - (r + m).log()) - r * (m / r).log1p()

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            rate = torch.distributions.Gamma(
                self.dispersion, self.dispersion / self.expected, validate_args=False
            )
            return torch.poisson(rate.expand(shape).sample())

    @property
    def mean(self) -> Tensor:
        return self.expected


class ZeroInflatedNegativeBinomial(dist.ZeroInflatedDistribution):
    """A negative binomial some of whose counts read 0, by Pyro's own; named for messages."""
