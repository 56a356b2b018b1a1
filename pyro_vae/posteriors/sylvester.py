"""A posterior bent inside subspaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pyro_vae import flows

from .base import Posterior
from .diagonal_normal import DiagonalNormal
from .flow import FlowPosterior, check_layers, flow_outputs


class Sylvester(FlowPosterior):
    r"""A base family through orthogonal Sylvester maps whose parameters the network puts out.

    .. math:: z_l = z_{l-1} + Q_l R_l \tanh(S_l Q_l^T z_{l-1} + b_l)

    Each map bends in ``rank`` directions at once: Q(x) has orthonormal columns (by reflections,
    exact for any parameters), R(x) and S(x) are upper triangular.

    van den Berg, Hasenclever, Tomczak and Welling 2018, *Sylvester Normalizing Flows for
    Variational Inference*.

    Args:
        network: x ``(*batch, *event)`` to ``(*batch, outputs)``.
        latent: number of latent dimensions.
        base: the base family.
        layers: number of maps.
        rank: directions of each map; no more than ``latent`` are taken.

    Raises ``ValueError`` where a number is not positive or the network's output has another
    length.

    >>> import torch
    >>> posterior = Sylvester(nn.Linear(5, *Sylvester.outputs(3)), latent=3)
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
        rank: int = 8,
    ) -> None:
        check_layers(layers)
        if rank < 1:
            raise ValueError(f"rank is at least 1, not {rank}")
        sizes = _sizes(latent, rank)
        super().__init__(network, latent, base, layers * sum(sizes))
        self.layers, self.rank, self.sizes = layers, min(rank, latent), sizes

    @staticmethod
    def outputs(
        latent: int,
        base: type[Posterior] | str = DiagonalNormal,
        layers: int = 4,
        rank: int = 8,
        **_: Any,
    ) -> tuple[int, ...]:
        return flow_outputs(latent, base, layers * sum(_sizes(latent, rank)))

    def maps(self, parameters: Tensor) -> Sequence[flows.Sylvester]:
        return [self._map(part) for part in parameters.chunk(self.layers, -1)]

    def _map(self, parameters: Tensor) -> flows.Sylvester:
        vectors, matrix, diagonals = parameters.split(self.sizes, -1)
        return flows.Sylvester(
            vectors.unflatten(-1, (self.rank, self.latent)),
            matrix.unflatten(-1, (self.rank, self.rank)),
            diagonals.unflatten(-1, (2, self.rank)),
        )


def _sizes(latent: int, rank: int) -> list[int]:
    """Lengths of the reflections' vectors, the matrix and the diagonals of one map."""
    rank = min(rank, latent)
    return [rank * latent, rank * rank, 2 * rank]
