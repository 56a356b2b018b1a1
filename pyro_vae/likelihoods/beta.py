"""A likelihood of proportions."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ._beta import Beta as BetaDistribution
from .base import Likelihood, as_event, widened
from .scale import Spread, hold, log_scale, predicted, with_scale

#: Below this digamma overflows in single precision.
_LEAST = 1e-30


class Beta(Likelihood):
    r"""Independent betas, for proportions strictly between 0 and 1, by mean and precision.

    .. math::
        p(x|z) = \prod_i \mathrm{Beta}\bigl(x_i; \mu_i\phi_i, (1 - \mu_i)\phi_i\bigr), \qquad
        \mu = \mathrm{sigmoid}(f(z))

    The variance is :math:`\mu(1-\mu)/(\phi + 1)`; at mean 1/2 and precision 2 it is uniform. Exact
    zeros and ones are outside its support: pixels that have them need ``ContinuousBernoulli`` or
    ``DiscretizedLogistic``.

    Ferrari and Cribari-Neto 2004, *Beta Regression for Modelling Rates and Proportions*.

    Args:
        network: maps z ``(*batch, latent)`` to logits of means ``(*batch, *event)``, and with
            ``"per-pixel"`` to two numbers an entry (see ``outputs``).
        precision: the :math:`\phi`. A number fixes it; ``"shared"`` learns one for all of x;
            ``"per-dimension"`` learns one for each number in x; ``"per-pixel"`` has the network
            predict each from z.
        initial: where a learned precision starts.

    Raises ``ValueError`` for a precision that is not positive, or not one of these.

    >>> p = Beta(nn.Linear(2, 5))(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "grey"
    log_precision: Tensor

    def __init__(
        self, network: nn.Module, precision: Spread = "shared", initial: float = 2.0
    ) -> None:
        super().__init__()
        self.network = network
        self.precision = precision
        logarithm = log_scale(network, precision, initial, name="precision")
        hold(self, "log_precision", logarithm)

    @staticmethod
    def outputs(
        shape: tuple[int, ...], *, precision: object = "shared", **_: Any
    ) -> tuple[int, ...]:
        return widened(shape, 1 + predicted(precision))

    @classmethod
    def takes(cls, x: Tensor) -> bool:
        return bool(BetaDistribution.support.check(x).all())

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        logit, precision = with_scale(self.network(z), z, self.log_precision, self.precision)
        upper, lower = precision * torch.sigmoid(logit), precision * torch.sigmoid(-logit)
        beta = BetaDistribution(upper.clamp(min=_LEAST), lower.clamp(min=_LEAST))
        return as_event(beta, z, mask)
