r"""A deep hierarchy whose layers all write to one stream: the very deep VAE in small.

.. math:: p(x, z_1, \ldots, z_L) = \prod_{l=L}^{1} p(z_l|h_l)\; p(x|h_0), \qquad
          h_{l-1} = h_l + a_l(z_l) + r_l(h_l + a_l(z_l))

.. math:: q(z|x) = \prod_{l=L}^{1} q(z_l|h_l, e(x))

::

    h3 ──┬──► + ──► h2 ──┬──► + ──► h1 ──► ...  h0 ──► x
         ▼    ▲          ▼    ▲
         z3 ──┘          z2 ──┘                 guide: z_l from h_l and e(x)

The stream h starts as a learned constant; each layer draws its latent from what the stream says so
far and adds to it. Each latent depends on all above it, not on the next one alone, and gradients
pass along the stream unhindered, so that many layers can be used. The guide walks down the
model's own stream, so model and guide share it.

Child 2021, *Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on Images*;
Kingma et al. 2016, *Improving Variational Inference with Inverse Autoregressive Flow* (the
residual top-down network).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal

from .inputs import joined
from .registration import Program


class Stream(nn.Module):
    r"""The way down: where it starts, and for each layer p(z|h) and what z adds to h.

    Args:
        layers: L.
        latent: latent dimensions of each layer.
        width: numbers that the stream holds.
        hidden: widths of the hidden layers of each network; none at all makes it linear, and then
            :math:`r_l` is left out.

    Raises ``ValueError`` for no layer.

    >>> stream = Stream(layers=3, latent=2, width=16)
    >>> stream.prior(3, stream.start).event_shape
    torch.Size([2])
    >>> stream.down(3, stream.start, torch.zeros(5, 2)).shape
    torch.Size([5, 16])
    """

    def __init__(
        self, layers: int, latent: int, width: int = 128, hidden: Sequence[int] = (128,)
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers is at least 1, not {layers}")
        self.start = nn.Parameter(torch.zeros(width))
        self.priors = nn.ModuleList(
            DiagonalNormal(MLP(width, 2 * latent, hidden)) for _ in range(layers)
        )
        self.adds = nn.ModuleList(nn.Linear(latent, width) for _ in range(layers))
        self.residuals = nn.ModuleList(
            MLP(width, width, hidden) for _ in range(layers if len(hidden) else 0)
        )
        for network in self.residuals:
            # Small at first, so that the stream's variance does not grow with the depth.
            *_, weight, bias = network.parameters()
            weight.data.mul_(layers**-0.5)
            bias.data.zero_()

    def __len__(self) -> int:
        return len(self.adds)

    def prior(self, layer: int, h: Tensor) -> TorchDistribution:
        """p(z|h) of a layer, counted from 1, nearest the data."""
        return self.priors[layer - 1](h)

    def down(self, layer: int, h: Tensor, z: Tensor) -> Tensor:
        """The stream after a layer's latent, ``(*batch, width)``."""
        h = h + self.adds[layer - 1](z)
        return h + self.residuals[layer - 1](h) if len(self.residuals) else h


class Model(Program):
    """p(zL|hL) ... p(z1|h1) p(x|h0).

    Args:
        stream: the way down.
        likelihood: of the stream's end, ``(*batch, width)``.

    Call: ``model(x)`` with x ``(batch, *event)``; returns x.

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> stream = Stream(layers=3, latent=2, width=16)
    >>> model = Model(stream, Bernoulli(MLP(16, 64)))
    """

    def __init__(self, stream: Stream, likelihood: nn.Module) -> None:
        super().__init__()
        self.stream = stream
        self.likelihood = likelihood

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        h: Tensor = self.stream.start
        with pyro.plate("data", len(x)):
            for number in range(len(self.stream), 0, -1):
                z = pyro.sample(f"z{number}", self.stream.prior(number, h))
                h = self.stream.down(number, h, z)
            return pyro.sample("x", self.likelihood(h), obs=x)


class Guide(Program):
    """q(zL|hL, e(x)) ... q(z1|h1, e(x)).

    Args:
        stream: the model's.
        encoder: network e, from x to ``(*batch, features)``.
        posteriors: of layers 1 to L, each called with h and e(x) end to end,
            ``(*batch, width + features)``.

    Call: ``guide(x)``; returns ``[z1, ..., zL]``, each ``(batch, latent)``.

    Raises ``ValueError`` where there is not one posterior for each layer of the stream.

    >>> stream = Stream(layers=3, latent=2, width=16)
    >>> posteriors = [DiagonalNormal(MLP(16 + 16, 2 * 2)) for _ in range(3)]
    >>> guide = Guide(stream, MLP(64, 16), posteriors)
    """

    def __init__(self, stream: Stream, encoder: nn.Module, posteriors: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(posteriors) != len(stream):
            raise ValueError(
                f"{len(posteriors)} posteriors for a stream of {len(stream)} layers: give one for "
                "each layer"
            )
        self.stream = stream
        self.encoder = encoder
        self.posteriors = nn.ModuleList(posteriors)

    def forward(self, x: Tensor, *context: Tensor) -> list[Tensor]:
        found = self.encoder(x)
        h = self.stream.start.expand(*found.shape[:-1], -1)
        latents: list[Tensor] = []
        with pyro.plate("data", len(x)):
            for number in range(len(self.stream), 0, -1):
                q = self.posteriors[number - 1](joined(h, found))
                latents.insert(0, pyro.sample(f"z{number}", q))
                h = self.stream.down(number, h, latents[0])
        return latents
