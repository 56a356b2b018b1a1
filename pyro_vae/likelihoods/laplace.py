"""The likelihood of real data with outliers, by absolute errors."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from .base import Likelihood, as_event, widened
from .scale import Spread, hold, log_scale, predicted, with_scale


class Laplace(Likelihood):
    r"""Independent Laplace distributions: absolute in place of squared errors.

    .. math:: p(x|z) = \prod_i \frac1{2 b_i} e^{-|x_i - f_i(z)| / b_i}

    The network puts out medians, so a few values far off pull less than under a normal. The scale
    :math:`b` is the mean absolute error that it expects.

    Kotz, Kozubowski and Podgorski 2001, *The Laplace Distribution and Generalizations*.

    Args:
        network: maps z ``(*batch, latent)`` to medians ``(*batch, *event)``, and with
            ``"per-pixel"`` to two numbers an entry (see ``outputs``).
        scale: a number fixes the scale; ``"shared"`` learns one for all of x; ``"per-dimension"``
            learns one for each number in x; ``"per-pixel"`` has the network predict each from z.
        initial: where a learned scale starts.

    Raises ``ValueError`` for a scale that is not positive, or not one of these.

    >>> import torch
    >>> p = Laplace(nn.Linear(2, 5), scale=0.1)(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "real"
    log_scale: Tensor

    def __init__(self, network: nn.Module, scale: Spread = "shared", initial: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        hold(self, "log_scale", log_scale(network, scale, initial))

    @staticmethod
    def outputs(shape: tuple[int, ...], *, scale: object = "shared", **_: Any) -> tuple[int, ...]:
        return widened(shape, 1 + predicted(scale))

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        loc, scale = with_scale(self.network(z), z, self.log_scale, self.scale)
        return as_event(dist.Laplace(loc, scale), z, mask)
