"""The beta distribution, inside its open interval."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Gamma, constraints
from torch.distributions.constraints import Constraint

from ._elementwise import ONE, Elementwise, Shape
from ._gamma import log_gamma_ratio
from ._unit import OpenUnit, inside_open_unit


class Beta(Elementwise):
    """The beta distribution on (0, 1).

    PyTorch's counts 0 and 1 to the support, where the density is 0 or infinite; its draws round
    to them; and it subtracts logarithms of gamma functions that are large together.

    Args:
        concentration1, concentration0: positive; the exponents of x and of 1 - x are one less.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = OpenUnit()
    concentration1: Tensor
    concentration0: Tensor

    def __init__(
        self, concentration1: Tensor, concentration0: Tensor, validate_args: bool | None = None
    ) -> None:
        super().__init__(
            validate_args, concentration1=concentration1, concentration0=concentration0
        )

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        small, large = torch.minimum(a, b), torch.maximum(a, b)
        log_beta = small.lgamma() - log_gamma_ratio(large, small)
        return (a - 1) * value.log() + (b - 1) * (-value).log1p() - log_beta

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            logit = self._log_gamma(self.concentration1, sample_shape) - self._log_gamma(
                self.concentration0, sample_shape
            )
            return inside_open_unit(logit.sigmoid())

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    def _log_gamma(self, concentration: Tensor, sample_shape: Shape) -> Tensor:
        # Gamma(a) is Gamma(a + 1) U^(1/a). In logarithms it does not vanish for a small a.
        grown = Gamma(concentration + 1, torch.ones_like(concentration), validate_args=False)
        return grown.sample(sample_shape).log() + self._uniform(sample_shape).log() / concentration
