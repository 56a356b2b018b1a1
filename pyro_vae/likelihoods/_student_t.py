"""Student's t, also where its degrees of freedom are many."""

from __future__ import annotations

import math

import pyro.distributions as dist
from torch import Tensor

from ._gamma import log_gamma_ratio


class StudentT(dist.StudentT):
    """Pyro's Student's t, with a density that stays exact in single precision as it turns normal.

    PyTorch subtracts two logarithms of gamma functions that grow with the degrees of freedom, and
    these do grow where they are learned from data without outliers. The mean is the location:
    one degree of freedom or fewer, under which there is none, is not for this class.
    """

    @property
    def mean(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        half = 0.5 * self.df
        error = ((value - self.loc) / self.scale).square()
        return (
            log_gamma_ratio(half, half.new_full((), 0.5))
            - 0.5 * (self.df * math.pi).log()
            - self.scale.log()
            - (half + 0.5) * (error / self.df).log1p()
        )
