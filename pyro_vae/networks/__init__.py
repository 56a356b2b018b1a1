"""Plain networks: tensors in, tensors out, no probability. Any leading batch dimensions."""

from .base import Network
from .conv import ConvDecoder, ConvEncoder
from .mlp import MLP

__all__ = ["MLP", "ConvDecoder", "ConvEncoder", "Network"]
