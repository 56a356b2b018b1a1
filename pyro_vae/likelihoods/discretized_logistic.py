"""The likelihood of 8-bit pixels."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from ._discretized_logistic import DiscretizedLogistic as DiscretizedLogisticDistribution
from ._discretized_logistic import Levels
from .base import Likelihood, as_event, widened
from .scale import Spread, hold, log_scale, predicted, with_scale


class DiscretizedLogistic(Likelihood):
    r"""Independent discretised logistics, for 8-bit pixels given as k / 255.

    .. math::
        P(x|z) = \prod_i \bigl[\sigma\bigl((x_i + \delta - f_i(z))/s_i\bigr)
        - \sigma\bigl((x_i - \delta - f_i(z))/s_i\bigr)\bigr], \qquad \delta = \tfrac1{2 \cdot 255}

    where the first term is 1 at x = 1 and the second 0 at x = 0, so that all 256 masses sum to 1.
    It is a probability, not a density: nats are those of the integers, and with
    :math:`\log_2` and the number of pixels they are bits per dimension.

    Kingma et al. 2016, *Improved Variational Inference with Inverse Autoregressive Flow*;
    Salimans et al. 2017, *PixelCNN++*, for the edges.

    Args:
        network: maps z ``(*batch, latent)`` to locations ``(*batch, *event)`` in units of x, and
            with ``"per-pixel"`` to two numbers an entry (see ``outputs``).
        scale: a number fixes the scale s, in units of x; ``"shared"`` learns one for all of x;
            ``"per-dimension"`` learns one for each number in x; ``"per-pixel"`` has the network
            predict each from z.
        initial: where a learned scale starts.
        levels: how many values there are, 0, 1/(levels-1), ..., 1: 256 for bytes, 17 for the
            embedded digits.

    Raises ``ValueError`` for a scale that is not positive, not one of these, or fewer than two
    levels.

    >>> import torch
    >>> p = DiscretizedLogistic(nn.Linear(2, 5))(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "grey"
    log_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        scale: Spread = "shared",
        initial: float = 0.1,
        levels: int = 256,
    ) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels is the number of values of x, at least 2, not {levels}")
        self.network = network
        self.scale = scale
        self.levels = levels
        hold(self, "log_scale", log_scale(network, scale, initial))

    @staticmethod
    def outputs(shape: tuple[int, ...], *, scale: object = "shared", **_: Any) -> tuple[int, ...]:
        return widened(shape, 1 + predicted(scale))

    @classmethod
    def takes(cls, x: Tensor) -> bool:
        return bool(Levels(256).check(x).all())

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        loc, scale = with_scale(self.network(z), z, self.log_scale, self.scale)
        return as_event(DiscretizedLogisticDistribution(loc, scale, self.levels), z, mask)
