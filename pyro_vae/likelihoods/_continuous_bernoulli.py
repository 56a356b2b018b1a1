"""The continuous Bernoulli distribution, exact at and around one half."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from ._elementwise import ONE, Elementwise, Shape

#: Below this |logit| the series in the docstrings below are exact to 1e-12, and from it on the
#: closed forms lose no more than two binary digits.
_SMALL = 0.5


class ContinuousBernoulli(Elementwise):
    r"""A density on [0, 1] that is exponential in x.

    .. math:: \log p(x) = l x - A(l), \qquad A(l) = \log\frac{e^l - 1}{l}

    PyTorch computes the normaliser from probabilities: in single precision its slope and the mean
    are off by 3e-3 around 1/2, and beyond logits of 16, where the probability is rounded to 1, it
    stands still. Here all is a function of the logit :math:`l`.

    Args:
        logits: any real numbers; the density leans to 1 where they are positive.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"logits": constraints.real}
    support = constraints.unit_interval
    logits: Tensor

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, logits=logits)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        small, far = self._parts()
        square = small * small
        # A(l) - l / 2, even in l: B_2n l^2n / (2n (2n)!) with the Bernoulli numbers B.
        series = square * (
            1 / 24
            - square
            * (1 / 2880 - square * (1 / 181440 - square * (1 / 9676800 - square / 479001600)))
        )
        near = small * (value - 0.5) - series
        size = far.abs()
        # A(l) is max(l, 0) + log((1 - exp(-|l|)) / |l|), in which nothing overflows.
        away = far * value - far.clamp(min=0) - ((-(-size).expm1()).log() - size.log())
        return torch.where(self._near(), near, away)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            # By symmetry the density of a positive logit is that of the negative one, mirrored.
            size = self.logits.abs().clamp(min=1e-6)
            draw = -(self._uniform(sample_shape) * (-size).expm1()).log1p() / size
            draw = draw.clamp(0.0, 1.0)
            return torch.where(self.logits > 0, 1 - draw, draw)

    @property
    def mean(self) -> Tensor:
        r"""The slope of the normaliser, :math:`1 / (1 - e^{-l}) - 1 / l`."""
        small, far = self._parts()
        square = small * small
        series = 1 / 12 - square * (
            1 / 720 - square * (1 / 30240 - square * (1 / 1209600 - square / 47900160))
        )
        size = far.abs()
        upper = -1 / (-size).expm1() - 1 / size
        away = torch.where(far > 0, upper, 1 - upper)
        return torch.where(self._near(), 0.5 + small * series, away)

    def _near(self) -> Tensor:
        return self.logits.abs() < _SMALL

    def _parts(self) -> tuple[Tensor, Tensor]:
        # Each branch gets only logits that it is made for: else the gradient of the branch not
        # taken, times zero, would be nan.
        near = self._near()
        return torch.where(near, self.logits, 0.0), torch.where(near, 1.0, self.logits)
