"""A posterior with curves and several modes."""

from __future__ import annotations

from typing import Any

from torch import nn

from pyro_vae.flows import RationalQuadratic

from .autoregressive_flow import AutoregressivePosterior
from .base import Posterior
from .diagonal_normal import DiagonalNormal
from .flow import flow_outputs


class Spline(AutoregressivePosterior):
    r"""A base family through autoregressive rational-quadratic splines, with context.

    .. math:: z_{l,d} = g\big(z_{l-1,d};\ \theta_d(z_{l-1, <d}, h)\big)

    with g a monotone spline on [-bound, bound], the identity outside: unlike an affine map, it
    can pull one mode into several. Costs are those of
    :class:`~pyro_vae.posteriors.InverseAutoregressive`, one pass to draw and score, ``latent``
    passes a layer for another value, with more arithmetic in each.

    Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*.

    Args:
        network: x ``(*batch, *event)`` to ``(*batch, outputs)``.
        latent: number of latent dimensions.
        base: the base family.
        layers: number of maps.
        context: how many numbers of the network's output steer the maps.
        hidden: width of the two hidden layers of each map's network, at least ``latent``.
        bins: pieces of each spline.
        bound: half the width of the part that is not the identity, in units of z.

    Raises ``ValueError`` where a number is too small or the network's output has another length.

    >>> import torch
    >>> posterior = Spline(nn.Linear(5, *Spline.outputs(3, context=8)), latent=3, context=8)
    >>> q = posterior(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([3]), True)
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        base: type[Posterior] = DiagonalNormal,
        layers: int = 2,
        context: int = 32,
        hidden: int = 64,
        bins: int = 8,
        bound: float = 5.0,
    ) -> None:
        spline = RationalQuadratic(bins, bound)
        super().__init__(network, latent, base, spline, layers, context, hidden)

    @staticmethod
    def outputs(
        latent: int,
        base: type[Posterior] | str = DiagonalNormal,
        context: int = 32,
        **_: Any,
    ) -> tuple[int, ...]:
        return flow_outputs(latent, base, context)
