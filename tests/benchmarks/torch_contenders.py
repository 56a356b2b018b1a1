"""The same VAE by several hands: stock Pyro, plain PyTorch, and this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pyro
import torch
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae
from pyro_vae.training.compiled import CompiledSVI

Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """A network 784 - hidden - latent - hidden - 784, and a mini-batch."""

    hidden: tuple[int, ...] = (400,)
    latent: int = 20
    batch: int = 128
    device: str = "cpu"
    features: int = 784

    @property
    def name(self) -> str:
        widths = "-".join(map(str, (self.features, *self.hidden, self.latent)))
        return f"{widths}, batch {self.batch}"

    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each linear layer, in the order that data flow."""
        down = [self.features, *self.hidden, 2 * self.latent]
        up = [self.latent, *self.hidden[::-1], self.features]
        return [*pairwise(down), *pairwise(up)]

    def x(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        grey = torch.rand(self.batch, self.features, generator=generator)
        return (grey < 0.3).float().to(self.device)


def programs(setting: Setting) -> tuple[vae.Model, vae.Guide]:
    """The pair of programs."""
    torch.manual_seed(0)
    d, k, hidden = setting.features, setting.latent, list(setting.hidden)
    model = vae.Model(StandardNormal(k), Bernoulli(MLP(k, d, hidden[::-1])))
    guide = vae.Guide(DiagonalNormal(MLP(d, 2 * k, hidden)))
    return model.to(setting.device), guide.to(setting.device)


def stock(setting: Setting, loss) -> Step:
    """``pyro.infer.SVI`` as its documentation has it."""
    model, guide = programs(setting)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=loss)
    x = setting.x()
    return lambda: svi.step(x)


def ours_compiled(setting: Setting, loss=None) -> Step:
    """The same line with one word changed."""
    model, guide = programs(setting)
    svi = CompiledSVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=loss or ELBO())
    x = setting.x()
    return lambda: svi.step(x)


class HandWritten(nn.Module):
    """The VAE that a PyTorch user writes: no distributions, the KL by its formula."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        torch.manual_seed(0)
        d, k, hidden = setting.features, setting.latent, list(setting.hidden)
        self.encoder = MLP(d, 2 * k, hidden)
        self.decoder = MLP(k, d, hidden[::-1])

    def forward(self, x: Tensor) -> Tensor:
        loc, raw = self.encoder(x).chunk(2, -1)
        scale = softplus(raw) + 1e-6
        z = loc + scale * torch.randn_like(loc)
        nll = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = 0.5 * (loc.square() + scale.square() - 1.0 - 2.0 * scale.log()).sum()
        return nll + kl


def hand_written(setting: Setting, compiled: bool) -> Step:
    """Plain PyTorch with the fused Adam, eager or under ``torch.compile``."""
    module = HandWritten(setting).to(setting.device)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
    loss_of = torch.compile(module, fullgraph=True) if compiled else module
    x = setting.x()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def contenders(setting: Setting) -> dict[str, Step]:
    """Everybody that needs only torch and Pyro."""
    return {
        "Pyro SVI, Trace_ELBO": stock(setting, Trace_ELBO()),
        "Pyro SVI, TraceMeanField_ELBO": stock(setting, TraceMeanField_ELBO()),
        "Pyro SVI, our ELBO": stock(setting, ELBO()),
        "PyTorch by hand": hand_written(setting, compiled=False),
        "PyTorch by hand, torch.compile": hand_written(setting, compiled=True),
        "CompiledSVI, Trace_ELBO": ours_compiled(setting, Trace_ELBO()),
        "CompiledSVI, TraceMeanField_ELBO": ours_compiled(setting, TraceMeanField_ELBO()),
        "CompiledSVI, our ELBO": ours_compiled(setting),
    }
