"""Programs with discrete sites that the tests of estimators run."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import nn


class Classes:
    """Semi-supervised: a class, a second one that depends on it, a vector; some are masked."""

    def __init__(self, mask: bool = False, subsample: bool = False, z: bool = True) -> None:
        torch.manual_seed(0)
        self.nets = nn.ModuleDict(
            {"q": nn.Linear(4, 3), "r": nn.Linear(3, 2), "z": nn.Linear(3, 4), "x": nn.Linear(5, 4)}
        ).double()
        self.x = torch.randn(6, 4, dtype=torch.float64)
        self.mask = torch.arange(6) > 2 if mask else torch.ones(6, dtype=torch.bool)
        self.subsample, self.z = subsample, z

    def plate(self, x):
        if self.subsample:
            return pyro.plate("data", 60, subsample=torch.arange(len(x)))
        return pyro.plate("data", len(x))

    def model(self, x):
        pyro.module("classes", self.nets)
        with self.plate(x):
            with poutine.mask(mask=self.mask[: len(x)]):
                y = pyro.sample("y", dist.OneHotCategorical(x.new_tensor([0.2, 0.3, 0.5])))
            w = pyro.sample("w", dist.Bernoulli((y * x.new_tensor([0.2, 0.6, 0.5])).sum(-1)))
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1)) if self.z else None
            h = y @ self.nets["x"].weight[:, :3].T + w[..., None] * self.nets["x"].weight[:, 3]
            h = h if z is None else h + torch.tanh(z).sum(-1, keepdim=True)
            pyro.sample("x", dist.Normal(h, 1.0).to_event(1), obs=x)

    def guide(self, x, infer=None):
        pyro.module("classes", self.nets)
        infer = infer or {}
        with self.plate(x):
            with poutine.mask(mask=self.mask[: len(x)]):
                q = dist.OneHotCategorical(logits=self.nets["q"](x))
                y = pyro.sample("y", q, infer=dict(infer))
            logits = self.nets["r"](y)
            w = pyro.sample("w", dist.Bernoulli(logits=logits[..., 0]), infer=dict(infer))
            if self.z:
                loc, raw = (self.nets["z"](y) * (1 + w[..., None])).chunk(2, -1)
                pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))


def coin(estimator=None):
    """p(b=1) = 0.5, x ~ N(b, 1), x = 2: the exact q(b=1) is sigmoid(1.5) = 0.818."""
    logit = nn.Parameter(torch.zeros(()))
    infer = {} if estimator is None else {"estimator": estimator}

    def model(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))
            pyro.sample("x", dist.Normal(b, 1.0), obs=x)

    def guide(x):
        pyro.param("logit", logit)
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=logit), infer=infer)

    return model, guide, logit


def normal(fn=None, infer=None, prior=None):
    loc = nn.Parameter(torch.zeros(()))

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", prior or dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        pyro.param("loc", loc)
        with pyro.plate("data", len(x)):
            pyro.sample("z", fn(loc) if fn else dist.Normal(loc, 1.0), infer=infer)

    return model, guide


def value_and_gradients(objective, model, guide, *args):
    pyro.set_rng_seed(5)
    with poutine.trace(param_only=True) as capture:
        loss = objective.loss_and_grads(model, guide, *args)
    gradients = {}
    for name, site in capture.trace.nodes.items():
        parameter = site["value"].unconstrained()
        if parameter.grad is not None:
            gradients[name] = parameter.grad.clone()
            parameter.grad = None
    return torch.as_tensor(loss, dtype=torch.float64), gradients
