"""Bare programs on linear-Gaussian data, whose evidence and posterior are known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae.data import LinearGaussian


@dataclass
class Known:
    """A model, a guide that is the exact posterior with its covariance widened, and data."""

    truth: LinearGaussian
    x: Tensor
    widen: float = 1.0

    def model(self, x: Tensor) -> Any:
        truth = self.truth
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(truth.latent), 1.0).to_event(1))
            mean = z @ truth.W.T + truth.mean
            return pyro.sample("x", dist.Normal(mean, truth.sigma).to_event(1), obs=x)

    def guide(self, x: Tensor) -> Any:
        mean, covariance = self.truth.posterior(x)
        with pyro.plate("data", len(x)):
            return pyro.sample("z", dist.MultivariateNormal(mean, self.widen * covariance))


def known(n: int = 40, features: int = 5, latent: int = 3, widen: float = 1.0) -> Known:
    generator = torch.Generator().manual_seed(11)
    W = torch.randn(features, latent, generator=generator, dtype=torch.float64)
    mean = torch.randn(features, generator=generator, dtype=torch.float64)
    truth = LinearGaussian(W, mean, sigma=0.7)
    return Known(truth, truth.sample(n, generator=generator), widen)
