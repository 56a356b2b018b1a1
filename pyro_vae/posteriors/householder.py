"""A posterior turned by reflections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pyro_vae import flows

from .base import Posterior
from .diagonal_normal import DiagonalNormal
from .flow import FlowPosterior, check_layers, flow_outputs


class Householder(FlowPosterior):
    r"""A base family turned by reflections whose normals the network puts out.

    .. math:: z = H_K(x) \cdots H_1(x) z_0, \qquad H = I - 2 \frac{v v^T}{|v|^2}

    On a diagonal normal: a normal whose principal axes turn with x, a full covariance once
    ``layers`` reaches ``latent``. A normal still: no curves, no modes.

    Tomczak and Welling 2016, *Improving Variational Auto-Encoders using Householder Flow*.

    Args:
        network: x ``(*batch, *event)`` to ``(*batch, outputs)``.
        latent: number of latent dimensions.
        base: the base family.
        layers: number of reflections K.

    Raises ``ValueError`` where ``layers`` is not positive or the network's output has another
    length.

    >>> import torch
    >>> posterior = Householder(nn.Linear(5, *Householder.outputs(3)), latent=3)
    >>> q = posterior(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([3]), True)
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        base: type[Posterior] = DiagonalNormal,
        layers: int = 4,
    ) -> None:
        check_layers(layers)
        super().__init__(network, latent, base, layers * latent)
        self.layers = layers

    @staticmethod
    def outputs(
        latent: int,
        base: type[Posterior] | str = DiagonalNormal,
        layers: int = 4,
        **_: Any,
    ) -> tuple[int, ...]:
        return flow_outputs(latent, base, layers * latent)

    def maps(self, parameters: Tensor) -> Sequence[flows.Householder]:
        return [flows.Householder(parameters.unflatten(-1, (self.layers, self.latent)))]
