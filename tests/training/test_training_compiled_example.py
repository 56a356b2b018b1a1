"""The structure of a VAE as Pyro's users write it; one word is changed."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pyro_vae.training.compiled import CompiledSVI

PIXELS, HIDDEN, LATENT = 25, 12, 3


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(LATENT, HIDDEN)
        self.pixels = nn.Linear(HIDDEN, PIXELS)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.pixels(nn.functional.softplus(self.hidden(z))))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(PIXELS, HIDDEN)
        self.loc = nn.Linear(HIDDEN, LATENT)
        self.log_scale = nn.Linear(HIDDEN, LATENT)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = nn.functional.softplus(self.hidden(x.reshape(-1, PIXELS)))
        return self.loc(h), torch.exp(self.log_scale(h))


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def model(self, x: Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("images", x.shape[0]):
            zeros, ones = x.new_zeros(len(x), LATENT), x.new_ones(len(x), LATENT)
            z = pyro.sample("latent", dist.Normal(zeros, ones).to_event(1))
            mean = self.decoder(z)
            pyro.sample("obs", dist.Bernoulli(mean).to_event(1), obs=x.reshape(-1, PIXELS))

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("images", x.shape[0]):
            loc, scale = self.encoder(x)
            pyro.sample("latent", dist.Normal(loc, scale).to_event(1))


def images(n: int = 72) -> Tensor:
    """Bars, across or down."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(n, 5, 5)
    for image, line, down in zip(
        x,
        torch.randint(5, (n,), generator=generator),
        torch.rand(n, generator=generator) < 0.5,
        strict=True,
    ):
        (image.T if down else image)[line] = 1.0
    return x


def train(kind, epochs=6, **options):
    pyro.clear_param_store()
    pyro.set_rng_seed(1)
    vae = VAE()
    svi = kind(vae.model, vae.guide, Adam({"lr": 1.0e-2}), loss=Trace_ELBO(), **options)
    loader = DataLoader(TensorDataset(images()), batch_size=20)  # the last batch has 12
    held_out = images(20)
    history = []
    for _ in range(epochs):
        total = sum(svi.step(x) for (x,) in loader)
        history.append((total / 72, svi.evaluate_loss(held_out) / 20))
    return svi, history, vae


@pytest.mark.parametrize("backend", ["none", pytest.param("inductor", marks=pytest.mark.slow)])
def test_one_word_is_changed(backend):
    from torch._inductor import config

    with config.patch(fallback_random=True):
        svi, history, vae = train(CompiledSVI, backend=backend, strict=True)
    assert svi.compilations == 3  # two sizes of batch, and the evaluation
    _, expected, reference = train(SVI)
    for row, row_of_svi in zip(history, expected, strict=True):
        assert row == pytest.approx(row_of_svi, rel=1e-4)
    for mine, other in zip(vae.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)
    assert history[-1][0] < 0.8 * history[0][0]


def test_the_listener_hears_of_compilations():
    heard = []
    train(CompiledSVI, epochs=3, backend="none", listener=heard.append)
    assert heard == ["compiling"] * 3
