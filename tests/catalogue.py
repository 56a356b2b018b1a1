"""Programs that many tests run: ours, and bare ones that share nothing with our parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae


@dataclass
class Case:
    """A model, its guide, and their arguments."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    analytic: bool = True  # whether every latent site has a valid closed-form KL
    reparameterized: bool = True

    def double(self) -> Case:
        args = tuple(a.double() if a.is_floating_point() else a for a in self.args)
        return Case(self.model, self.guide, args, self.analytic, self.reparameterized)


def binary(batch: int = 5, features: int = 6) -> Tensor:
    return (torch.rand(batch, features, generator=torch.Generator().manual_seed(3)) < 0.5).float()


def ours(likelihood: str = "bernoulli", **options: Any) -> Case:
    torch.manual_seed(0)
    x = binary()
    net = MLP(2, 6, hidden=[4])
    part = Bernoulli(net) if likelihood == "bernoulli" else Normal(net, **options)
    guide = vae.Guide(DiagonalNormal(MLP(6, 4, hidden=[4])))
    return Case(vae.Model(StandardNormal(2), part), guide, (x,))


class _Nets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Linear(6, 4)
        self.decoder = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 6))
        self.top = nn.Linear(2, 2)
        self.up = nn.Linear(2, 4)


def bare(kind: str = "plain") -> Case:
    """`def model(x)` and `def guide(x)` with pyro.module, in several shapes."""
    nets = _Nets()
    x = binary()
    weight = torch.linspace(0.5, 2.0, len(x))

    def handlers():
        if kind == "scaled":
            return poutine.scale(scale=0.3)
        if kind == "weighted":
            return poutine.scale(scale=weight.to(nets.encoder.weight.dtype))
        if kind == "masked":
            return poutine.mask(mask=weight > 1)
        return poutine.scale(scale=1.0)

    def plate(x: Tensor):
        if kind == "subsampled":
            return pyro.plate("rows", 50, subsample=torch.arange(len(x)))
        return pyro.plate("rows", len(x))

    def model(x: Tensor) -> None:
        pyro.module(f"{kind}-decoder", nets)
        with plate(x), handlers():
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("obs", dist.Bernoulli(logits=nets.decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module(f"{kind}-decoder", nets)
        with plate(x), handlers():
            loc, raw = nets.encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    return Case(model, guide, (x,))


def discrete() -> Case:
    """A Bernoulli latent, plus a normal one, inside nested plates."""
    torch.manual_seed(2)
    x = binary()
    logits = nn.Parameter(torch.randn(5))
    weights = nn.Parameter(torch.randn(3, 6))

    def model(x: Tensor) -> None:
        w = pyro.param("discrete.w", weights.detach().to(x.dtype))
        with pyro.plate("data", len(x), dim=-2):
            b = pyro.sample("b", dist.Bernoulli(x.new_full((), 0.3)))
            with pyro.plate("pixels", 6, dim=-1):
                c = pyro.sample("c", dist.Bernoulli(torch.sigmoid(w[0] + b)))
                pyro.sample("x", dist.Normal(w[1] * b + w[2] * c, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        q = pyro.param("discrete.q", logits.detach().to(x.dtype))
        with pyro.plate("data", len(x), dim=-2):
            b = pyro.sample("b", dist.Bernoulli(logits=q[:, None]))
            with pyro.plate("pixels", 6, dim=-1):
                pyro.sample("c", dist.Bernoulli(logits=x - 0.3 + b))

    return Case(model, guide, (x,), analytic=False, reparameterized=False)


def hierarchical(order: str = "top-down") -> Case:
    """Two latents; the guide draws them in the model's order, or in the reverse."""
    nets = _Nets()
    x = binary()

    def model(x: Tensor) -> None:
        pyro.module(f"two-layer-{order}", nets)
        with pyro.plate("data", len(x)):
            z2 = pyro.sample("z2", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            z1 = pyro.sample("z1", dist.Normal(nets.top(z2), 0.7).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=nets.decoder(z1)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module(f"two-layer-{order}", nets)
        with pyro.plate("data", len(x)):
            loc, raw = nets.encoder(x).chunk(2, -1)
            first, second = ("z2", "z1") if order == "top-down" else ("z1", "z2")
            z = pyro.sample(first, dist.Normal(loc, raw.exp()).to_event(1))
            loc, raw = nets.up(z).chunk(2, -1)
            pyro.sample(second, dist.Normal(loc, raw.exp()).to_event(1))

    return Case(model, guide, (x,), analytic=order == "top-down")


def auxiliary() -> Case:
    """A site of the guide alone, a factor and a deterministic of the model, a global latent."""
    nets = _Nets()
    x = binary()

    def model(x: Tensor) -> None:
        pyro.module("auxiliary", nets)
        shift = pyro.sample("shift", dist.Normal(x.new_zeros(()), 1.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.deterministic("mean", nets.decoder(z))
            pyro.factor("pull", -0.1 * z.pow(2).sum(-1))
            pyro.sample(
                "x", dist.Normal(nets.decoder(z) + shift[..., None], 1.0).to_event(1), obs=x
            )

    def guide(x: Tensor) -> None:
        pyro.module("auxiliary", nets)
        loc = pyro.param("auxiliary.loc", x.new_tensor(0.3))
        pyro.sample("shift", dist.Normal(loc, 0.5))
        with pyro.plate("data", len(x)):
            a = pyro.sample("a", dist.Normal(x.mean(-1), 1.0), infer={"is_auxiliary": True})
            loc, raw = (nets.encoder(x) + a[..., None]).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    return Case(model, guide, (x,))


CASES: dict[str, Callable[[], Case]] = {
    "ours-bernoulli": ours,
    "ours-normal": lambda: ours("normal"),
    "ours-normal-fixed": lambda: ours("normal", scale=0.3),
    "ours-normal-per-dimension": lambda: ours("normal", scale="per-dimension"),
    "bare": bare,
    "bare-scaled": lambda: bare("scaled"),
    "bare-weighted": lambda: bare("weighted"),
    "bare-masked": lambda: bare("masked"),
    "bare-subsampled": lambda: bare("subsampled"),
    "discrete": discrete,
    "hierarchical": hierarchical,
    "hierarchical-bottom-up": lambda: hierarchical("bottom-up"),
    "auxiliary": auxiliary,
}
