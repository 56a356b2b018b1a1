"""A multi-layer perceptron between events of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from .base import Network
from .shapes import Activation, Shape, activation, as_shape, numel, split_batch


class MLP(Network):
    r"""Fully connected layers.

    :math:`h_0 = \mathrm{vec}(x),\; h_{l+1} = a(W_l h_l + b_l)`, with no activation after the
    last layer; an empty ``hidden`` is the affine map of a linear VAE.

    Args:
        inputs: event shape of the input, ``784`` or ``(28, 28)``.
        outputs: event shape of the output.
        hidden: width of each hidden layer.
        activation: the nonlinearity between layers.

    Shapes: ``(*batch, *inputs) -> (*batch, *outputs)`` for any leading ``batch``.

    Raises ``ValueError`` for an input that does not end in ``inputs``.

    >>> import torch
    >>> MLP((8, 8), 4, hidden=[16])(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5, 3, 4])
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        hidden: Sequence[int] = (400,),
        activation: Activation = "silu",
    ) -> None:
        super().__init__(inputs, outputs)
        self.layers = _layers(
            [numel(self.inputs), *as_shape(hidden), numel(self.outputs)], activation
        )

    def forward(self, x: Tensor) -> Tensor:
        batch = split_batch(x, self.inputs, "MLP")
        return self.layers(x.reshape(*batch, -1)).reshape(*batch, *self.outputs)


def _layers(sizes: list[int], name: Activation) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation(name)]
    return nn.Sequential(*layers[:-1])
