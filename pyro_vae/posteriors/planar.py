"""A posterior stretched along directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pyro_vae import flows

from .base import Posterior
from .diagonal_normal import DiagonalNormal
from .flow import FlowPosterior, check_layers, flow_outputs


class Planar(FlowPosterior):
    r"""A base family through planar maps whose parameters the network puts out.

    .. math:: z_l = z_{l-1} + u_l'(x) \tanh(w_l(x) \cdot z_{l-1} + b_l(x))

    Each map bends along one direction: the weakest flow, and the cheapest. The density of a value
    that was not just drawn solves for one number a map.

    Rezende and Mohamed 2015, *Variational Inference with Normalizing Flows*.

    Args:
        network: x ``(*batch, *event)`` to ``(*batch, outputs)``.
        latent: number of latent dimensions.
        base: the base family.
        layers: number of maps.

    Raises ``ValueError`` where ``layers`` is not positive or the network's output has another
    length.

    >>> import torch
    >>> posterior = Planar(nn.Linear(5, *Planar.outputs(3, layers=2)), latent=3, layers=2)
    >>> q = posterior(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([3]), True)
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        base: type[Posterior] = DiagonalNormal,
        layers: int = 8,
    ) -> None:
        check_layers(layers)
        super().__init__(network, latent, base, layers * (2 * latent + 1))
        self.layers = layers

    @staticmethod
    def outputs(
        latent: int,
        base: type[Posterior] | str = DiagonalNormal,
        layers: int = 8,
        **_: Any,
    ) -> tuple[int, ...]:
        return flow_outputs(latent, base, layers * (2 * latent + 1))

    def maps(self, parameters: Tensor) -> Sequence[flows.Planar]:
        sizes = [self.latent, self.latent, 1]
        return [flows.Planar(*part.split(sizes, -1)) for part in parameters.chunk(self.layers, -1)]
