"""A posterior with several modes."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from ._normal_mixture import NormalMixture
from .base import Posterior


class MixtureOfNormals(Posterior):
    r"""A mixture of independent normals: a posterior with several modes.

    .. math:: q(z|x) = \sum_k \pi_k(x) \prod_d \mathcal N(z_d; \mu_{kd}(x), \sigma_{kd}(x)^2)

    The network puts out the logits of :math:`\pi`, the means, and the scales before a softplus.

    Reparameterised implicitly (Figurnov, Mohamed and Mnih 2018, *Implicit Reparameterization
    Gradients*): one sample, whose pathwise gradient is exact in the weights, too. Stratification
    (a sample of every component, weighted by :math:`\pi_k`) has less variance, but gives no sample
    of q for the program to go on with, and every objective would have to know of it. The gradient
    in the weights moves mass across the valley between two modes, so its variance grows as
    :math:`e^{\delta^2/2}` for a half distance of :math:`\delta` standard deviations.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, components * (1 + 2 * latent))``.
        components: number of normals, at least 1.
        min_scale: the least standard deviation.

    Raises ``ValueError`` for fewer than one component, or a network's output of no such length.

    >>> import torch
    >>> q = MixtureOfNormals(nn.Linear(5, 4 * (1 + 2 * 3)), components=4)(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([3]), True)
    """

    def __init__(self, network: nn.Module, components: int = 5, min_scale: float = 1e-6) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components is the number of normals, at least 1, not {components}")
        self.network = network
        self.components = components
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, *, components: int = 5, **_: Any) -> tuple[int, ...]:
        return (components * (1 + 2 * latent),)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parameters = self.network(x)
        k, size = self.components, parameters.shape[-1]
        latent = (size - k) // (2 * k)
        if latent < 1 or self.outputs(latent, components=k) != (size,):
            raise ValueError(
                f"MixtureOfNormals(components={k}) takes a network with {k} * (1 + 2 * latent) "
                f"outputs (weights, means and scales), not {size}"
            )
        logits, loc, raw = parameters.split([k, k * latent, k * latent], -1)
        loc, raw = (part.unflatten(-1, (k, latent)) for part in (loc, raw))
        normals = dist.Normal(loc, softplus(raw) + self.min_scale).to_event(1)
        return NormalMixture(dist.Categorical(logits=logits), normals)
