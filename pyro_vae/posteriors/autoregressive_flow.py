"""What the two autoregressive posteriors share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from pyro_vae import flows

from .base import Posterior
from .flow import FlowPosterior, check_layers


class AutoregressivePosterior(FlowPosterior):
    """A base family through autoregressive maps that read a context from the encoder.

    Every other map goes through the dimensions in the reverse order.

    Args:
        network: x ``(*batch, *event)`` to ``(*batch, outputs)``.
        latent: number of latent dimensions.
        base: the base family.
        elementwise: the map of each number.
        layers: number of maps.
        context: how many numbers of the network's output steer the maps.
        hidden: width of the two hidden layers of each map's network.
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        base: type[Posterior],
        elementwise: flows.Elementwise,
        layers: int,
        context: int,
        hidden: int,
    ) -> None:
        check_layers(layers)
        if context < 1:
            raise ValueError(f"context is at least 1, not {context}")
        super().__init__(network, latent, base, context)
        self.elementwise = elementwise
        self.networks = nn.ModuleList(
            flows.MaskedNetwork(latent, elementwise.parameters, hidden, context, i % 2 == 1)
            for i in range(layers)
        )

    def maps(self, parameters: Tensor) -> Sequence[flows.Autoregressive]:
        return [
            flows.Autoregressive(partial(net, context=parameters), net.rank, self.elementwise)  # type: ignore[arg-type]
            for net in self.networks
        ]
