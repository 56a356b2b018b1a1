"""Convolutional networks for images: one that shrinks them and one that grows them back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from .base import Network
from .shapes import Activation, Shape, as_shape, numel, split_batch
from .shapes import activation as _activation


class ConvEncoder(Network):
    """Strided convolutions, then one linear layer: images to vectors.

    Every layer halves height and width (rounding up). Images come as ``(channels, height,
    width)`` or ``(height, width)``.

    Args:
        inputs: event shape of the images, ``(1, 28, 28)`` or ``(28, 28)``.
        outputs: event shape of the output.
        channels: output channels of each convolution.
        activation: the nonlinearity after each convolution.

    Shapes: ``(*batch, *inputs) -> (*batch, *outputs)`` for any leading ``batch``.

    >>> import torch
    >>> ConvEncoder((28, 28), 10, channels=[4, 8])(torch.zeros(2, 3, 28, 28)).shape
    torch.Size([2, 3, 10])
    """

    images = True

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        channels: Sequence[int] = (32, 64),
        activation: Activation = "silu",
    ) -> None:
        super().__init__(inputs, outputs)
        sizes = _pyramid(image_shape(self.inputs), as_shape(channels))
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [
                nn.Conv2d(before[0], after[0], 3, stride=2, padding=1),
                _activation(activation),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(numel(sizes[-1]), numel(self.outputs))

    def forward(self, x: Tensor) -> Tensor:
        batch = split_batch(x, self.inputs, "ConvEncoder")
        # A convolution takes one batch dimension only, so the leading ones are folded into it.
        features = self.layers(x.reshape(-1, *image_shape(self.inputs)))
        return self.head(features).reshape(*batch, *self.outputs)


class ConvDecoder(Network):
    """One linear layer, then transposed convolutions: vectors to images of an exact size.

    The mirror of :class:`ConvEncoder`: each layer doubles height and width, trimmed so that the
    last one is the image asked for, whatever its size.

    Args:
        inputs: event shape of the input, usually the number of latent dimensions.
        outputs: event shape of the images, ``(1, 28, 28)`` or ``(28, 28)``.
        channels: channels of each layer, in the order that data flow.
        activation: the nonlinearity before each transposed convolution.

    Shapes: ``(*batch, *inputs) -> (*batch, *outputs)`` for any leading ``batch``.

    >>> import torch
    >>> ConvDecoder(10, (1, 27, 30), channels=[8, 4])(torch.zeros(2, 3, 10)).shape
    torch.Size([2, 3, 1, 27, 30])
    """

    images = True

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        channels: Sequence[int] = (64, 32),
        activation: Activation = "silu",
    ) -> None:
        super().__init__(inputs, outputs)
        sizes = _pyramid(image_shape(self.outputs), as_shape(channels)[::-1])[::-1]
        self.start = sizes[0]
        self.stem = nn.Linear(numel(self.inputs), numel(self.start))
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            extra = (after[1] - (2 * before[1] - 1), after[2] - (2 * before[2] - 1))
            grow = nn.ConvTranspose2d(
                before[0], after[0], 3, stride=2, padding=1, output_padding=extra
            )
            layers += [_activation(activation), grow]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        batch = split_batch(z, self.inputs, "ConvDecoder")
        image = self.stem(z.reshape(-1, numel(self.inputs))).reshape(-1, *self.start)
        return self.layers(image).reshape(*batch, *self.outputs)


def image_shape(event: tuple[int, ...]) -> tuple[int, int, int]:
    """``(channels, height, width)`` of an image event; ``(height, width)`` has one channel."""
    if len(event) == 2:
        return (1, *event)
    if len(event) == 3:
        return event
    raise ValueError(
        f"a convolution needs images (channels, height, width), not events of shape {event}; "
        "use MLP for vectors, or load the data unflattened"
    )


def _pyramid(image: tuple[int, int, int], channels: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """The image's shape and that after each halving, e.g. (1,28,28), (32,14,14), (64,7,7)."""
    sizes = [image]
    for count in channels:
        _, height, width = sizes[-1]
        sizes.append((count, (height + 1) // 2, (width + 1) // 2))
    return sizes
