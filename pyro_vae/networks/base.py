"""What a network is."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from .shapes import Shape, as_shape


class Network(nn.Module):
    """A plain map from events of one shape to events of another, with no probability in it.

    To add one: a file with one class whose constructor takes ``inputs`` and ``outputs`` (event
    shapes; the command line fills them in), then what configures it, and whose ``forward`` maps
    ``(*batch, *inputs)`` to ``(*batch, *outputs)`` for any leading ``batch``. Any ``nn.Module``
    will do in Python; deriving from this class makes it known to the command line.

    Attributes:
        inputs, outputs: the event shapes.
        images: whether it needs events of shape (channels, height, width).
    """

    images: ClassVar[bool] = False

    def __init__(self, inputs: Shape, outputs: Shape) -> None:
        super().__init__()
        self.inputs, self.outputs = as_shape(inputs), as_shape(outputs)
