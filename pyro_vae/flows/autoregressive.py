"""Each number is mapped by what comes before it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from pyro.nn import AutoRegressiveNN, ConditionalAutoRegressiveNN
from torch import Tensor, nn

from .bijection import Bijection
from .elementwise import Elementwise


class Autoregressive(Bijection):
    r"""y_d = f(x_d; theta_d), with theta_d computed from the x before d in some order.

    The Jacobian is triangular, so ``forth`` and its determinant take one pass of the network;
    ``back`` takes one pass for each dimension, filling in one number a time.

    Args:
        network: x ``(*batch, latent)`` to ``(*batch, latent, elementwise.parameters)``, already
            conditioned on any context.
        rank: the place of each dimension in the order, ``(latent,)``.
        elementwise: f.
    """

    def __init__(
        self, network: Callable[[Tensor], Tensor], rank: Tensor, elementwise: Elementwise
    ) -> None:
        super().__init__()
        self.network, self.rank, self.elementwise = network, rank, elementwise

    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self.elementwise.forth(x, self.network(x))
        return y, log_slope.sum(-1)

    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x, log_slope = torch.zeros_like(y), torch.zeros_like(y)
        for place in range(y.shape[-1]):
            found, slope = self.elementwise.back(y, self.network(x))
            x = torch.where(self.rank == place, found, x)
            log_slope = torch.where(self.rank == place, slope, log_slope)
        return x, log_slope.sum(-1)


class MaskedNetwork(nn.Module):
    r"""The network of an autoregressive map: Pyro's MADE, with context.

    Germain, Gregor, Murray and Larochelle 2015, *MADE*; the context enters every unit.

    Args:
        latent: number of dimensions.
        parameters: how many numbers are put out for each.
        hidden: width of the two hidden layers, at least ``latent``.
        context: length of the context, 0 for none.
        backwards: count the dimensions from the last to the first.

    Raises ``ValueError`` where ``hidden`` is less than ``latent``.

    >>> net = MaskedNetwork(3, 2, hidden=16, context=5)
    >>> net(torch.zeros(7, 4, 3), torch.zeros(4, 5)).shape
    torch.Size([7, 4, 3, 2])
    """

    rank: Tensor

    def __init__(
        self,
        latent: int,
        parameters: int,
        hidden: int,
        context: int = 0,
        backwards: bool = False,
    ) -> None:
        super().__init__()
        self.single = parameters == 1
        if hidden < latent:
            raise ValueError(
                f"hidden is at least latent in an autoregressive map, not {hidden} for {latent}: "
                "with fewer units some dimensions would hear of none before them"
            )
        order = torch.arange(latent)
        order = order.flip(0) if backwards else order
        options: dict[str, Any] = {
            "hidden_dims": [hidden, hidden],
            "param_dims": [parameters],
            "permutation": order,
            "nonlinearity": nn.ELU(),
        }
        with warnings.catch_warnings():
            # One dimension has none before it: its parameters come from the context alone.
            warnings.filterwarnings("ignore", ".*input_dim = 1")
            self.masked = (
                ConditionalAutoRegressiveNN(latent, context, **options)
                if context
                else AutoRegressiveNN(latent, **options)
            )
        with torch.no_grad():
            # Nearly the identity at first: from larger maps, composed, training strays.
            for parameter in self.masked.layers[-1].parameters():
                parameter.mul_(0.1)
        self.register_buffer("rank", order.argsort(), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            return self._last(self.masked(x))
        # Either may have the batch dimensions that the other lacks (a mixture scores one value
        # under many contexts), where the network takes the input's alone.
        batch = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
        return self._last(self.masked(x.expand(*batch, -1), context))

    def _last(self, output: Tensor) -> Tensor:
        # Pyro leaves out the dimension of the parameters where there is one for each.
        return output.unsqueeze(-1) if self.single else output.transpose(-1, -2)
