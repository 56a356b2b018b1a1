"""A likelihood of grey values between 0 and 1, by their logits."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from ._logit_normal import LogitNormal as LogitNormalDistribution
from .base import Likelihood, as_event, widened
from .scale import Spread, hold, log_scale, predicted, with_scale


class LogitNormal(Likelihood):
    r"""Independent logit-normals: the logit of each number in (0, 1) is normal.

    .. math::
        p(x|z) = \prod_i \mathcal N\bigl(\mathrm{logit}(x_i); f_i(z), \sigma_i^2\bigr)
        \frac1{x_i (1 - x_i)}

    Exact zeros and ones are outside its support: pixels that have them need
    ``ContinuousBernoulli`` or ``DiscretizedLogistic``, or to be moved inside, e.g. by adding
    uniform noise: (255 x + u) / 256.

    Atchison and Shen 1980, *Logistic-Normal Distributions: Some Properties and Uses*.

    Args:
        network: maps z ``(*batch, latent)`` to means of logits ``(*batch, *event)``, and with
            ``"per-pixel"`` to two numbers an entry (see ``outputs``).
        scale: of the logit. A number fixes it; ``"shared"`` learns one for all of x;
            ``"per-dimension"`` learns one for each number in x; ``"per-pixel"`` has the network
            predict each from z.
        initial: where a learned scale starts.

    Raises ``ValueError`` for a scale that is not positive, or not one of these.

    >>> import torch
    >>> p = LogitNormal(nn.Linear(2, 5))(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "grey"
    log_scale: Tensor

    def __init__(self, network: nn.Module, scale: Spread = "shared", initial: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        hold(self, "log_scale", log_scale(network, scale, initial))

    @staticmethod
    def outputs(shape: tuple[int, ...], *, scale: object = "shared", **_: Any) -> tuple[int, ...]:
        return widened(shape, 1 + predicted(scale))

    @classmethod
    def takes(cls, x: Tensor) -> bool:
        return bool(LogitNormalDistribution.support.check(x).all())

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        loc, scale = with_scale(self.network(z), z, self.log_scale, self.scale)
        return as_event(LogitNormalDistribution(loc, scale), z, mask)
