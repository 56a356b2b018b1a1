"""A deep hierarchy whose layers write to one stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pyro_vae.programs import VAE
from pyro_vae.programs.residual import Guide, Model, Stream

from .base import Family
from .layers import kept_from_the_top, kl_of_layers
from .parts import Parts
from .view import Finding, View


class residual(Family):
    """Many layers that all write to one stream, of --latent dimensions each: the very deep VAE.

    Each layer's prior is a normal of what the stream says so far.

    Child 2021, *Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on Images*.

    Args:
        layers: how many.
        width: numbers that the stream holds.
        hidden: widths of the hidden layers along the stream.

    >>> residual(layers=6).layers
    6
    """

    latent = None
    unused: ClassVar[dict[str, str]] = {
        "prior": "each layer's prior is a normal of what the stream says so far"
    }
    withheld: ClassVar[Mapping[str, str]] = {"log_joint": "it has a latent in each layer"}

    def __init__(self, layers: int = 4, width: int = 128, hidden: Sequence[int] = (128,)) -> None:
        for name, value in {"layers": layers, "width": width}.items():
            if value < 1:
                raise ValueError(f"--program.{name} is at least 1, not {value}")
        self.layers = layers
        self.width = width
        self.hidden = tuple(hidden)

    def programs(self, parts: Parts) -> VAE:
        stream = Stream(self.layers, parts.latent, self.width, self.hidden)
        encoder = parts.encoder(parts.shape, self.width)
        inputs = 2 * self.width  # the stream, and what the encoder found
        posteriors = [parts.upper_posterior(inputs, parts.latent) for _ in range(self.layers)]
        model = Model(stream, parts.likelihood(self.width))
        return VAE(model, Guide(stream, encoder, posteriors))

    def findings(self, view: View) -> list[Finding]:
        return kl_of_layers(view)

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        yield from kept_from_the_top(view)
