"""Small programs in double precision whose bounds are known, and checks of gradients on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn


def normal(*shape: int) -> dist.TorchDistribution:
    """The standard normal, in double precision."""
    return dist.Normal(torch.zeros(shape, dtype=torch.float64), 1.0).to_event(len(shape))


def points(n: int = 6, features: int = 3) -> Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


class Toy:
    """A linear model and guide with two latents; ``total`` makes the plate a subsampled one."""

    def __init__(
        self,
        total: int | None = None,
        prior: Callable[[], Any] | None = None,
        posterior: Callable[[Tensor, Tensor], Any] | None = None,
        latent: int = 2,
    ) -> None:
        torch.manual_seed(5)
        self.latent, self.total = latent, total
        self.nets = nn.ModuleDict(
            {"encoder": nn.Linear(3, 2 * latent), "decoder": nn.Linear(latent, 3)}
        ).double()
        self.prior = prior or (lambda: normal(latent))
        self.posterior = posterior or (lambda loc, raw: dist.Normal(loc, raw.exp()).to_event(1))

    def plate(self, x: Tensor) -> Any:
        if self.total is None:
            return pyro.plate("data", len(x))
        return pyro.plate("data", self.total, subsample=torch.arange(len(x)))

    def model(self, x: Tensor) -> None:
        pyro.module("toy.decoder", self.nets["decoder"])
        with self.plate(x):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", dist.Normal(self.nets["decoder"](z), 1.0).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("toy.encoder", self.nets["encoder"])
        with self.plate(x):
            pyro.sample("z", self.q(x))

    def q(self, x: Tensor) -> Any:
        return self.posterior(*self.nets["encoder"](x).chunk(2, -1))


def loss_of(objective: Any, toy: Any, x: Tensor, seed: int = 3) -> Tensor:
    """The objective's loss at one random seed, with its graph."""
    pyro.set_rng_seed(seed)
    return objective.differentiable_loss(toy.model, toy.guide, x)


def slopes(objective: Any, toy: Any, x: Tensor) -> tuple[float, float]:
    """The slope of the loss in one direction of all parameters: by autograd, by differences.

    The random numbers are the same throughout, so that the loss is one smooth function.
    """
    parameters = list(toy.nets.parameters())
    generator = torch.Generator().manual_seed(9)
    direction = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters]
    gradients = torch.autograd.grad(loss_of(objective, toy, x), parameters, allow_unused=True)
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True) if g is not None)

    def moved(step: float) -> float:
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(step * d)
            value = loss_of(objective, toy, x).item()
            for p, d in zip(parameters, direction, strict=True):
                p.sub_(step * d)
        return value

    # Central differences: an error of order h^2 = 1e-10 and of 1e-16 / h of the loss.
    return float(slope), (moved(1e-5) - moved(-1e-5)) / 2e-5
