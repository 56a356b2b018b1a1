"""Independent Laplace distributions as the posterior."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import Posterior


class Laplace(Posterior):
    r"""Independent Laplace distributions: a peak, and tails heavier than a normal's.

    .. math:: q(z|x) = \prod_d \frac{1}{2 b_d(x)} e^{-|z_d - \mu_d(x)| / b_d(x)}

    The network's output is cut in two halves, the medians :math:`\mu` and the scales
    :math:`b` before a softplus. Reparameterised by the inverse of the distribution function.

    Kotz, Kozubowski and Podgorski 2001, *The Laplace Distribution and Generalizations*.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, 2 * latent)``.
        min_scale: the least scale :math:`b`.

    Raises ``ValueError`` where the network's output has an odd length.

    >>> import torch
    >>> q = Laplace(nn.Linear(5, 2 * 3))(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([3]), True)
    """

    def __init__(self, network: nn.Module, min_scale: float = 1e-6) -> None:
        super().__init__()
        self.network = network
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        return (2 * latent,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parameters = self.network(x)
        if parameters.shape[-1] % 2:
            raise ValueError(
                "Laplace takes a network with 2 * latent outputs (medians and scales), "
                f"not {parameters.shape[-1]}"
            )
        loc, raw = parameters.chunk(2, -1)
        return dist.Laplace(loc, softplus(raw) + self.min_scale).to_event(1)
