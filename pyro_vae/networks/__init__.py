"""Plain networks: tensors in, tensors out, no probability. Any leading batch dimensions."""

from .conv import ConvDecoder, ConvEncoder
from .mlp import MLP

__all__ = ["MLP", "ConvDecoder", "ConvEncoder"]
