"""A posterior in which each dimension hears of those before it."""

from __future__ import annotations

from typing import Any

from torch import nn

from pyro_vae.flows import Affine

from .autoregressive_flow import AutoregressivePosterior
from .base import Posterior
from .diagonal_normal import DiagonalNormal
from .flow import flow_outputs


class InverseAutoregressive(AutoregressivePosterior):
    r"""A base family through inverse autoregressive flow, with context from the encoder.

    .. math:: z_{l,d} = m_d(z_{l-1, <d}, h) + e^{s_d(z_{l-1, <d}, h)} z_{l-1, d}, \qquad
        \log\Big|\det \frac{\partial z_l}{\partial z_{l-1}}\Big| = \sum_d s_d

    Drawing, and the density of what was drawn, take one pass a layer, however many dimensions.
    The density of *another* value takes ``latent`` passes a layer. The context h is what the
    network puts out after the base family's parameters; the log-scale is softly bounded.

    Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling 2016, *Improving Variational
    Inference with Inverse Autoregressive Flow*.

    Args:
        network: x ``(*batch, *event)`` to ``(*batch, outputs)``.
        latent: number of latent dimensions.
        base: the base family.
        layers: number of maps.
        context: length of h.
        hidden: width of the two hidden layers of each map's network, at least ``latent``.

    Raises ``ValueError`` where a number is too small or the network's output has another length.

    >>> import torch
    >>> net = nn.Linear(5, *InverseAutoregressive.outputs(3, context=8))
    >>> q = InverseAutoregressive(net, latent=3, context=8)(torch.zeros(7, 5))
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
    ) -> None:
        super().__init__(network, latent, base, Affine(), layers, context, hidden)

    @staticmethod
    def outputs(
        latent: int,
        base: type[Posterior] | str = DiagonalNormal,
        context: int = 32,
        **_: Any,
    ) -> tuple[int, ...]:
        return flow_outputs(latent, base, context)
