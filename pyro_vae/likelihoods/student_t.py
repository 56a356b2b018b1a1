"""The likelihood of real data with heavy tails."""

from __future__ import annotations

import math
from typing import Any, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ._student_t import StudentT as StudentTDistribution
from .base import Likelihood, as_event, widened
from .scale import Spread, hold, log_scale, predicted, with_scale

#: Where learned degrees of freedom start.
_START = 4.0


class StudentT(Likelihood):
    r"""Independent Student's t distributions: normals with heavy tails.

    .. math::
        p(x|z) = \prod_i \frac{\Gamma(\frac{\nu+1}2)}{\Gamma(\frac\nu2)\sqrt{\pi\nu}\,\sigma_i}
        \Bigl(1 + \frac{(x_i - f_i(z))^2}{\nu\sigma_i^2}\Bigr)^{-\frac{\nu+1}2}

    A normal whose variance was drawn for each number: an outlier pulls the less the farther off
    it is. :math:`\nu\to\infty` is the normal; above 1 the mean exists, above 2 the variance.

    Lange, Little and Taylor 1989, *Robust Statistical Modeling Using the t Distribution*.

    Args:
        network: maps z ``(*batch, latent)`` to means ``(*batch, *event)``, and with
            ``"per-pixel"`` to two numbers an entry (see ``outputs``).
        df: the degrees of freedom :math:`\nu`, more than 1 so that the mean exists; ``"shared"``
            learns one for all of x, as :math:`1 + e^a`.
        scale: a number fixes the scale; ``"shared"`` learns one for all of x; ``"per-dimension"``
            learns one for each number in x; ``"per-pixel"`` has the network predict each from z.
        initial: where a learned scale starts.

    Raises ``ValueError`` for a scale that is not positive, or degrees of freedom up to 1.

    >>> p = StudentT(nn.Linear(2, 5), df=3)(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "real"
    log_scale: Tensor
    log_excess: Tensor

    def __init__(
        self,
        network: nn.Module,
        df: float | Literal["shared"] = 4.0,
        scale: Spread = "shared",
        initial: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        if df != "shared" and not (isinstance(df, int | float) and 1 < df < math.inf):
            raise ValueError(
                f"df is a number above 1, so that the mean exists, or 'shared', not {df!r}"
            )
        hold(self, "log_scale", log_scale(network, scale, initial))
        excess = torch.tensor(math.log((_START if isinstance(df, str) else df) - 1))
        hold(self, "log_excess", nn.Parameter(excess) if df == "shared" else excess)

    @staticmethod
    def outputs(shape: tuple[int, ...], *, scale: object = "shared", **_: Any) -> tuple[int, ...]:
        return widened(shape, 1 + predicted(scale))

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        loc, scale = with_scale(self.network(z), z, self.log_scale, self.scale)
        return as_event(StudentTDistribution(1 + self.log_excess.exp(), loc, scale), z, mask)
