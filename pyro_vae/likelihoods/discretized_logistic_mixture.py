"""The likelihood of 8-bit pixels whose distribution has several modes."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ._discretized_logistic import DiscretizedLogistic, Levels
from ._discretized_logistic import DiscretizedLogisticMixture as Mixture
from .base import Likelihood, as_event, numbers, widened

#: The least scale, in distances of two levels: a narrower logistic is the same to 1e-8.
_LEAST = 0.02


class DiscretizedLogisticMixture(Likelihood):
    r"""Independent mixtures of discretised logistics, for 8-bit pixels given as k / 255.

    .. math:: P(x|z) = \prod_i \sum_{k=1}^K \pi_{ik}(z)\, P(x_i; \mu_{ik}(z), s_{ik}(z))

    with the masses :math:`P` of ``DiscretizedLogistic``. The network puts out weights, locations
    and scales of each number in x by itself: the channels of one pixel are independent given z,
    where Salimans et al. share the weights between them and shift green by red and blue by both.

    Locations start spread over [0, 1], so that the components do not begin as one.

    Salimans, Karpathy, Chen and Kingma 2017, *PixelCNN++: Improving the PixelCNN with Discretized
    Logistic Mixture Likelihood and Other Modifications*.

    Args:
        network: maps z ``(*batch, latent)`` to 3 ``components`` numbers an entry (see
            ``outputs``): first the weights' logits, then the locations, then the scales.
        components: how many logistics for each number in x.
        initial: the scale where the network says 0.
        levels: how many values there are, 0, 1/(levels-1), ..., 1.

    Raises ``ValueError`` for no component, an initial scale that is not positive, or fewer than
    two levels.

    >>> likelihood = DiscretizedLogisticMixture(nn.Linear(2, 5 * 3 * 4), components=4)
    >>> p = likelihood(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "grey"
    starts: Tensor

    def __init__(
        self, network: nn.Module, components: int = 5, initial: float = 0.1, levels: int = 256
    ) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components is how many logistics, at least 1, not {components}")
        if not initial > 0:
            raise ValueError(f"a scale is positive, not {initial}")
        if levels < 2:
            raise ValueError(f"levels is the number of values of x, at least 2, not {levels}")
        self.network = network
        self.components = components
        self.initial = initial
        self.levels = levels
        starts = torch.linspace(0.0, 1.0, components + 2)[1:-1]
        self.register_buffer("starts", starts, persistent=False)

    @staticmethod
    def outputs(shape: tuple[int, ...], *, components: int = 5, **_: Any) -> tuple[int, ...]:
        return widened(shape, 3 * components)

    @classmethod
    def takes(cls, x: Tensor) -> bool:
        return bool(Levels(256).check(x).all())

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        found = numbers(self.network(z), z, 3 * self.components)
        logits, locs, raw = torch.stack(found, -1).chunk(3, -1)
        width = 1 / (self.levels - 1)
        scale = self.initial * softplus(raw) / softplus(torch.zeros_like(raw)) + _LEAST * width
        components = DiscretizedLogistic(self.starts + locs, scale, self.levels)
        return as_event(Mixture(dist.Categorical(logits=logits), components), z, mask)
