"""Bare Pyro programs of many kinds, which share nothing with our parts, and bounds for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import (
    ELBO,
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    config_enumerate,
)
from pyro.infer.autoguide import AutoLowRankMultivariateNormal, AutoNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from torch import Tensor, nn

from pyro_vae.objectives import ELBO as OurELBO


@dataclass
class Bare:
    """A model, its guide, their arguments, and the bounds that apply."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    bounds: tuple[str, ...] = ("trace", "graph", "renyi")
    kwargs: dict[str, Any] = field(default_factory=dict)


BOUNDS: dict[str, Callable[[], ELBO]] = {
    "trace": Trace_ELBO,
    "trace-particles": lambda: Trace_ELBO(num_particles=3),
    "trace-vectorized": lambda: Trace_ELBO(num_particles=3, vectorize_particles=True),
    "mean-field": TraceMeanField_ELBO,
    "graph": TraceGraph_ELBO,
    "enum": lambda: TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False),
    "renyi": lambda: RenyiELBO(num_particles=3),
    "renyi-vectorized": lambda: RenyiELBO(num_particles=3, vectorize_particles=True),
    "ours": OurELBO,
    "ours-particles": lambda: OurELBO(kl="sampled", particles=3),
    "ours-loop": lambda: OurELBO(particles=3, vectorize=False),
}


def points(n: int = 6, features: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(n, features, generator=generator, dtype=torch.float64)
    return x.to(torch.get_default_dtype())


def mixture(default: str = "parallel") -> Bare:
    """A mixture of normals whose assignment is enumerated in the model or in the guide."""
    x = points(8, 1)[:, 0]

    def model(x: Tensor) -> None:
        weights = pyro.param("mixture.weights", torch.full((3,), 1 / 3), constraints.simplex)
        locs = pyro.param("mixture.locs", torch.tensor([-1.0, 0.0, 1.0]))
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Categorical(weights))
            pyro.sample("x", dist.Normal(locs[k], 0.7), obs=x)

    def guide(x: Tensor) -> None:
        if default == "model":
            return
        logits = pyro.param("mixture.logits", torch.linspace(-1, 1, 24).reshape(8, 3))
        with pyro.plate("data", len(x)):
            pyro.sample("k", dist.Categorical(logits=logits))

    if default == "model":
        return Bare(config_enumerate(model), guide, (x,), ("enum",))
    guide = config_enumerate(guide, default)
    return Bare(model, guide, (x,), ("enum", "trace", "graph"))


def few_enumerated() -> Bare:
    """Two switches in the open, enumerated one after the other."""
    x = points(5, 1)[:, 0]

    def model(x: Tensor) -> None:
        a = pyro.sample("a", dist.Bernoulli(x.new_tensor(0.3)))
        b = pyro.sample("b", dist.Bernoulli(0.2 + 0.5 * a))
        scale = pyro.param("few.scale", x.new_tensor(1.0), constraints.positive)
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(a - b, scale), obs=x)

    @config_enumerate(default="sequential")
    def guide(x: Tensor) -> None:
        p = pyro.param("few.p", x.new_tensor([0.4, 0.6]), constraints.unit_interval)
        pyro.sample("a", dist.Bernoulli(p[0]))
        pyro.sample("b", dist.Bernoulli(p[1]))

    return Bare(model, guide, (x,), ("enum", "trace"))


def flow() -> Bare:
    """A guide of Pyro's flows, which keep the sample that they last transformed."""
    torch.manual_seed(3)
    transforms = [
        dist.transforms.affine_autoregressive(2, hidden_dims=[5]),
        dist.transforms.planar(2),
    ]
    nets = nn.ModuleList(transforms)
    decoder = nn.Linear(2, 3)
    x = points()

    def model(x: Tensor) -> None:
        pyro.module("flow.decoder", decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(decoder(z), 1.0).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("flow.transforms", nets)
        base = dist.Normal(x.new_zeros(2), x.new_ones(2))
        with pyro.plate("data", len(x)):
            flow = dist.TransformedDistribution(base.expand([len(x), 2]).to_event(1), transforms)
            pyro.sample("z", flow)

    return Bare(model, guide, (x,), ("trace", "mean-field", "graph", "ours"))


def positive() -> Bare:
    """Gamma, Beta and Dirichlet latents: gradients through their samplers."""
    counts = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0]).to(torch.get_default_dtype())

    def model(counts: Tensor) -> None:
        rate = pyro.sample("rate", dist.Gamma(counts.new_tensor(2.0), 1.0))
        p = pyro.sample("p", dist.Beta(counts.new_tensor(2.0), 3.0))
        w = pyro.sample("w", dist.Dirichlet(counts.new_ones(5)))
        with pyro.plate("data", 5):
            pyro.sample("x", dist.Poisson(0.1 + rate * (p + w)), obs=counts)

    def guide(counts: Tensor) -> None:
        a = pyro.param("positive.a", counts.new_tensor([2.0, 3.0]), constraints.positive)
        b = pyro.param("positive.b", counts.new_tensor([1.5, 2.5]), constraints.positive)
        c = pyro.param(
            "positive.c", lambda: counts.new_ones(5) * 2, constraint=constraints.positive
        )
        pyro.sample("rate", dist.Gamma(a[0], a[1]))
        pyro.sample("p", dist.Beta(b[0], b[1]))
        pyro.sample("w", dist.Dirichlet(c))

    return Bare(model, guide, (counts,), ("trace", "mean-field", "graph", "renyi", "ours"))


def sequential() -> Bare:
    """A Markov chain written as a loop, and a plate that is iterated over."""
    x = points(4, 2)

    def model(x: Tensor) -> None:
        rate = pyro.param("chain.rate", x.new_tensor(0.9), constraints.interval(0.0, 1.0))
        h = x.new_zeros(2)
        for t in pyro.markov(range(len(x))):
            h = pyro.sample(f"h_{t}", dist.Normal(rate * h, 1.0).to_event(1))
            pyro.sample(f"x_{t}", dist.Normal(h, 0.5).to_event(1), obs=x[t])
        for i in pyro.plate("extra", 2):
            pyro.sample(f"e_{i}", dist.Normal(x[i].sum(), 1.0), obs=x[i + 1].sum())

    def guide(x: Tensor) -> None:
        loc = pyro.param("chain.loc", x.clone())
        scale = pyro.param("chain.scale", x.new_full((len(x),), 0.3), constraints.positive)
        for t in pyro.markov(range(len(x))):
            pyro.sample(f"h_{t}", dist.Normal(loc[t], scale[t]).to_event(1))

    return Bare(model, guide, (x,), ("trace", "trace-particles", "graph", "ours-loop"))


def modules() -> Bare:
    """A PyroModule with a sampled weight and constrained parameters."""
    torch.manual_seed(6)
    x = points()

    class Model(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = PyroModule[nn.Linear](3, 1)
            self.linear.weight = PyroSample(
                lambda own: dist.Normal(x.new_zeros(1, 3), 1.0).to_event(2)
            )
            self.scale = PyroParam(x.new_tensor(0.8), constraint=constraints.positive)

        def forward(self, x: Tensor) -> None:
            mean = self.linear(x).squeeze(-1)
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(mean, self.scale), obs=x.sum(-1))

    class Guide(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.loc = nn.Parameter(x.new_zeros(1, 3))
            self.spread = PyroParam(x.new_full((1, 3), 0.2), constraint=constraints.positive)

        def forward(self, x: Tensor) -> None:
            pyro.sample("linear.weight", dist.Normal(self.loc, self.spread).to_event(2))

    return Bare(Model(), Guide(), (x,), ("trace", "mean-field", "graph", "renyi", "ours"))


def norms() -> Bare:
    """Batch norm on both sides, as methods of one object, and dropout."""
    torch.manual_seed(7)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            middle = [nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.2)]
            self.encoder = nn.Sequential(nn.Linear(3, 5), *middle, nn.Linear(5, 4))
            self.decoder = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

        def model(self, x: Tensor) -> None:
            pyro.module("norms", self)
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(self.decoder(z), 1.0).to_event(1), obs=x)

        def guide(self, x: Tensor) -> None:
            pyro.module("norms", self)
            with pyro.plate("data", len(x)):
                loc, raw = self.encoder(x).chunk(2, -1)
                pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    both = Both().to(torch.get_default_dtype())
    return Bare(both.model, both.guide, (points(),), ("trace", "trace-particles", "mean-field"))


def regression(kind: str = "normal") -> Bare:
    """Bayesian regression under a guide that Pyro makes."""
    x = points(7, 2)

    def model(x: Tensor, y: Tensor, noise: float = 1.0) -> None:
        w = pyro.sample("w", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        sigma = pyro.sample("sigma", dist.LogNormal(x.new_tensor(0.0), 0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ w, sigma * noise), obs=y)

    make = AutoNormal if kind == "normal" else AutoLowRankMultivariateNormal
    bounds = ("trace", "mean-field", "graph") if kind == "normal" else ("trace", "graph")
    return Bare(model, make(model), (x, x.sum(-1)), bounds, {"noise": 0.5})


def subsampled() -> Bare:
    """A plate that draws its own mini-batch."""
    x = points(12, 1)[:, 0]

    def model(x: Tensor) -> None:
        loc = pyro.sample("loc", dist.Normal(x.new_tensor(0.0), 3.0))
        with pyro.plate("data", len(x), subsample_size=4) as rows:
            pyro.sample("x", dist.Normal(loc, 1.0), obs=x[rows])

    def guide(x: Tensor) -> None:
        loc = pyro.param("subsampled.loc", x.new_tensor(0.1))
        scale = pyro.param("subsampled.scale", x.new_tensor(0.2), constraints.positive)
        pyro.sample("loc", dist.Normal(loc, scale))
        with pyro.plate("data", len(x), subsample_size=4):
            pass

    return Bare(model, guide, (x,), ("trace", "mean-field", "graph", "ours"))


def conditional() -> Bare:
    """Labels by one_hot, a mask, a full covariance, and a weight given as an argument."""
    torch.manual_seed(8)
    net = nn.Linear(5, 4).to(torch.get_default_dtype())
    x, y = points(6, 2), torch.tensor([0, 1, 2, 2, 1, 0])
    seen = torch.tensor([True, True, False, True, True, True])

    def model(x: Tensor, y: Tensor, weight: float) -> None:
        label = nn.functional.one_hot(y, 3).to(x.dtype)
        tril = pyro.param(
            "conditional.tril", torch.eye(2, dtype=x.dtype), constraints.lower_cholesky
        )
        with pyro.plate("data", len(x)):
            with poutine.scale(scale=weight):
                z = pyro.sample("z", dist.MultivariateNormal(x.new_zeros(2), scale_tril=tril))
            with poutine.mask(mask=seen):
                mean = z + label[..., :2]
                pyro.sample("x", dist.StudentT(5.0, mean, 1.0).to_event(1), obs=x)

    def guide(x: Tensor, y: Tensor, weight: float) -> None:
        pyro.module("conditional", net)
        label = nn.functional.one_hot(y, 3).to(x.dtype)
        with pyro.plate("data", len(x)), poutine.scale(scale=weight):
            loc, raw = net(torch.cat([x, label], -1)).chunk(2, -1)
            cov = torch.diag_embed(raw.exp()) + 0.1
            pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=torch.linalg.cholesky(cov)))

    return Bare(model, guide, (x, y, 0.7), ("trace", "mean-field", "graph", "ours"))


BARE: dict[str, Callable[[], Bare]] = {
    "mixture-parallel": mixture,
    "mixture-sequential": few_enumerated,
    "mixture-in-model": lambda: mixture("model"),
    "flow": flow,
    "positive": positive,
    "sequential": sequential,
    "modules": modules,
    "norms": norms,
    "auto-normal": regression,
    "auto-low-rank": lambda: regression("low-rank"),
    "subsampled": subsampled,
    "conditional": conditional,
}
