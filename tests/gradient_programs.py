"""A discrete and a continuous latent whose ELBO is known in closed form, an example a draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

PARAMETERS = ("logits", "loc", "log_scale", "theta")


@dataclass
class Mixture:
    r"""k ~ Cat, z | k ~ N(mu_k, 1), x | z, k ~ N(z + theta_k, 1), in one dimension, three classes.

    The guide is q(k) = softmax(logits), q(z|k) = N(loc_k, scale_k). Every example is the same, and
    has parameters of its own, so that the gradient of a sum over examples is one draw of the
    gradient for each. ``infer`` goes to the guide's two sites.
    """

    draws: int
    k: dict[str, Any] = field(default_factory=dict)
    z: dict[str, Any] = field(default_factory=dict)
    exact_z: bool = False

    prior = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    mu = torch.tensor([-1.0, 0.5, 1.0], dtype=torch.float64)
    x = 1.3

    def __post_init__(self) -> None:
        start = {
            "logits": [0.4, -0.3, 0.1],
            "loc": [0.2, 0.9, -0.4],
            "log_scale": [-0.5, 0.1, -0.2],
            "theta": [0.7, -0.2, 0.3],
        }
        one = {name: torch.tensor(v, dtype=torch.float64) for name, v in start.items()}
        if self.exact_z:
            one["loc"] = (self.mu + self.x - one["theta"]) / 2
            one["log_scale"] = torch.full((3,), -0.5 * math.log(2.0), dtype=torch.float64)
        self.one = one
        self.own = {n: v.expand(self.draws, 3).clone().requires_grad_() for n, v in one.items()}
        self.data = torch.full((self.draws,), self.x, dtype=torch.float64)

    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.OneHotCategorical(self.prior))
            z = pyro.sample("z", dist.Normal((k * self.mu).sum(-1), 1.0))
            mean = z + (k * self.own["theta"]).sum(-1)
            pyro.sample("x", dist.Normal(mean, 1.0), obs=x)

    def guide(self, x: Tensor) -> None:
        own = self.own
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.OneHotCategorical(logits=own["logits"]), infer=self.k)
            loc, log_scale = ((k * own[name]).sum(-1) for name in ("loc", "log_scale"))
            pyro.sample("z", dist.Normal(loc, log_scale.exp()), infer=self.z)

    def exact(self) -> dict[str, Tensor]:
        """The gradient of the ELBO in each parameter, by its closed form."""
        one = {name: value.clone().requires_grad_() for name, value in self.one.items()}
        q = torch.softmax(one["logits"], -1)
        variance = (2 * one["log_scale"]).exp()
        kl = 0.5 * (variance + (one["loc"] - self.mu) ** 2 - 1) - one["log_scale"]
        miss = self.x - one["loc"] - one["theta"]
        fit = -0.5 * (miss**2 + variance + math.log(2 * math.pi))
        elbo = (q * (fit - kl + self.prior.log() - q.log())).sum()
        elbo.backward()
        return {name: value.grad for name, value in one.items() if value.grad is not None}

    def draw(self, objective: Any) -> dict[str, Tensor]:
        """The gradient of the bound, a draw a row."""
        for value in self.own.values():
            value.grad = None
        (-objective.differentiable_loss(self.model, self.guide, self.data)).backward()
        return {n: v.grad for n, v in self.own.items() if v.grad is not None}
