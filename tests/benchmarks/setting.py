"""What is timed: a network, a latent, a mini-batch, and how many samples of the guide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP, ConvDecoder, ConvEncoder
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """A network of 784 pixels - hidden - latent - hidden - 784, and a mini-batch.

    With ``particles`` above 1 the bound is the importance-weighted one (Burda et al. 2016).
    """

    hidden: tuple[int, ...] = (400,)
    latent: int = 20
    batch: int = 128
    particles: int = 1
    conv: bool = False
    device: str = "cpu"
    features: int = 784

    @property
    def name(self) -> str:
        widths = "-".join(map(str, (self.features, *self.hidden, self.latent)))
        network = f"convolutions 32, 64 - {self.latent}" if self.conv else widths
        samples = f", IWAE with {self.particles} samples" if self.particles > 1 else ""
        return f"{network}, batch {self.batch}{samples}"

    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each linear layer, in the order that data flow."""
        down = [self.features, *self.hidden, 2 * self.latent]
        up = [self.latent, *self.hidden[::-1], self.features]
        return [*pairwise(down), *pairwise(up)]

    def rows(self) -> list[int]:
        """How many rows each of these layers takes: the decoder's are those of every sample."""
        half = len(self.layers()) // 2
        return [self.batch] * half + [self.batch * self.particles] * half

    def x(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        grey = torch.rand(self.batch, self.features, generator=generator)
        x = (grey < 0.3).float().to(self.device)
        return x.reshape(-1, 1, 28, 28) if self.conv else x

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """The encoder and the decoder, the same for everybody."""
        torch.manual_seed(0)
        k, d, hidden = self.latent, self.features, list(self.hidden)
        if self.conv:
            pair: tuple[nn.Module, nn.Module] = (
                ConvEncoder((1, 28, 28), 2 * k),
                ConvDecoder(k, (1, 28, 28)),
            )
        else:
            pair = MLP(d, 2 * k, hidden), MLP(k, d, hidden[::-1])
        return pair[0].to(self.device), pair[1].to(self.device)

    def programs(self) -> tuple[vae.Model, vae.Guide]:
        """The pair of programs."""
        encoder, decoder = self.networks()
        model = vae.Model(StandardNormal(self.latent), Bernoulli(decoder))
        return model.to(self.device), vae.Guide(DiagonalNormal(encoder)).to(self.device)
