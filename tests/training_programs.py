"""Small programs for the tests of training, in every way of writing one, and their data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer.util import is_validation_enabled
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

FEATURES, LATENT = 5, 2
Pair = tuple[Callable[..., Any], Callable[..., Any]]


def real(n: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(n, LATENT, generator=generator)
    W = torch.randn(LATENT, FEATURES, generator=generator)
    return z @ W + 1 + 0.3 * torch.randn(n, FEATURES, generator=generator)


def binary(n: int = 60) -> Tensor:
    return (real(n) > 1).float()


def ours(seed: int = 0, likelihood: str = "normal") -> Pair:
    torch.manual_seed(seed)
    net = MLP(LATENT, FEATURES, hidden=[4])
    part = Normal(net) if likelihood == "normal" else Bernoulli(net)
    encoder = MLP(FEATURES, 2 * LATENT, hidden=[4])
    return vae.Model(StandardNormal(LATENT), part), vae.Guide(DiagonalNormal(encoder))


def noisy(seed: int = 0) -> Pair:
    """With batch norm and dropout on both sides: buffers, and random numbers in the networks."""
    torch.manual_seed(seed)

    def net(inputs: int, outputs: int) -> nn.Module:
        middle = [nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3)]
        return nn.Sequential(nn.Linear(inputs, 6), *middle, nn.Linear(6, outputs))

    likelihood = Bernoulli(net(LATENT, FEATURES))
    guide = vae.Guide(DiagonalNormal(net(FEATURES, 2 * LATENT)))
    return vae.Model(StandardNormal(LATENT), likelihood), guide


class Nets(nn.Module):
    """One module whose methods are the two programs."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Linear(FEATURES, 2 * LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, FEATURES), nn.BatchNorm1d(FEATURES))

    def model(self, x: Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(LATENT), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.decoder(z), 0.5).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            loc, raw = self.encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))


def bound_methods(seed: int = 0) -> Pair:
    nets = Nets(seed)
    return nets.model, nets.guide


def bare_modules(seed: int = 0) -> Pair:
    nets = Nets(seed)
    encoder, decoder = nets.encoder, nets.decoder

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(LATENT), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(decoder(z), 0.5).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("rows", len(x)):
            loc, raw = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    return model, guide


def hidden_modules(seed: int = 0) -> Pair:
    """The networks are reached by a dict and by another function."""
    nets = {"both": Nets(seed)}

    def encode(x: Tensor) -> Tensor:
        return nets["both"].encoder(x)

    def model(x: Tensor, noise: float) -> None:
        pyro.module("decoder", nets["both"].decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(LATENT), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(nets["both"].decoder(z), noise).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", nets["both"].encoder)
        with pyro.plate("data", len(x)):
            loc, raw = encode(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    return partial(model, noise=0.5), guide


def bare_params(seed: int = 0) -> Pair:
    """No modules at all; one parameter is constrained."""
    torch.manual_seed(seed)
    W, V = torch.randn(LATENT, FEATURES), torch.randn(FEATURES, LATENT)

    def model(x: Tensor) -> None:
        weight, noise = pyro.param("W", W), pyro.param("noise", torch.tensor(1.0), _positive)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(LATENT), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ weight, noise).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        weight, spread = pyro.param("V", V), pyro.param("spread", torch.ones(LATENT), _positive)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x @ weight, spread).to_event(1))

    return model, guide


_positive = dist.constraints.positive


def pyro_modules(seed: int = 0) -> Pair:
    """Pyro's own kind of module."""
    torch.manual_seed(seed)

    class Model(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = PyroModule[nn.Linear](LATENT, FEATURES)

        def forward(self, x: Tensor) -> None:
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(LATENT), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(self.decoder(z), 0.5).to_event(1), obs=x)

    class Guide(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = PyroModule[nn.Linear](FEATURES, 2 * LATENT)

        def forward(self, x: Tensor) -> None:
            with pyro.plate("data", len(x)):
                loc, raw = self.encoder(x).chunk(2, -1)
                pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    return Model(), Guide()


WAYS: dict[str, Callable[[int], Pair]] = {
    "ours": ours,
    "bound methods": bound_methods,
    "bare, pyro.module": bare_modules,
    "bare, modules out of sight": hidden_modules,
    "bare, pyro.param": bare_params,
    "PyroModule": pyro_modules,
}


def trained(pair: Pair) -> dict[str, Tensor]:
    """A copy of every parameter and buffer of two programs, wherever it lives."""
    found: dict[str, Tensor] = {}
    for role, program in zip(("model", "guide"), pair, strict=True):
        owner = getattr(program, "__self__", program)
        if isinstance(owner, nn.Module):
            found |= {f"{role}.{name}": value.clone() for name, value in owner.state_dict().items()}
        else:
            store = pyro.get_param_store().named_parameters()
            found |= {name: value.detach().clone() for name, value in store}
    return found


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


class AtStep:
    """A transform that acts on the batch of one training step, and leaves the others alone.

    The look before the first step transforms too; Pyro's validation, on in these tests, is off
    while steps are taken.
    """

    def __init__(self, step: int, act: Callable[[Tensor], Any]) -> None:
        self.step, self.act, self.now = step, act, 0

    def __call__(self, x: Tensor) -> Tensor:
        if not is_validation_enabled():
            self.now += 1
            if self.now == self.step:
                acted = self.act(x)
                return acted if isinstance(acted, Tensor) else x
        return x
