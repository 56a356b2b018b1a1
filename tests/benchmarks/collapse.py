"""A decoder that needs no latent, and what brings the latent back.

``python tests/benchmarks/collapse.py`` trains one VAE on the 8x8 digits seven times and prints a
Markdown table. The decoder is autoregressive: each pixel's log-odds are the ordinary decoder's plus
a masked network's of the pixels before it, which can model the digits without z.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vae import data, evaluation, fit
from pyro_vae.flows import MaskedNetwork
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO, GECO, BetaELBO, FreeBits
from pyro_vae.posteriors import CommittedNormal, DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae
from pyro_vae.schedules import Cyclical, Linear
from pyro_vae.training import Aggressive
from pyro_vae.training.monitor import CollapseWarning

PIXELS, LATENT = 64, 20


class EachByThoseBefore(dist.TorchDistribution):
    """Coins whose log-odds depend on the coins before them."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = dist.constraints.independent(dist.constraints.boolean, 1)

    def __init__(self, logits: Tensor, before: nn.Module) -> None:
        self.logits, self.before = logits, before
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        logits = self.logits + self.before(x).squeeze(-1)
        return dist.Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> EachByThoseBefore:
        logits = self.logits.expand(*batch_shape, *self.event_shape)
        return EachByThoseBefore(logits, self.before)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        x = torch.zeros(self.shape(torch.Size(sample_shape)))
        for i in range(x.shape[-1]):
            logits = (self.logits + self.before(x).squeeze(-1))[..., i]
            x[..., i] = torch.bernoulli(logits.sigmoid())
        return x


class Autoregressive(Likelihood):
    """What a user writes who wants another likelihood."""

    values = "binary"

    def __init__(self, network: nn.Module, hidden: int = 400) -> None:
        super().__init__()
        self.network = network
        self.before = MaskedNetwork(PIXELS, 1, hidden)

    @staticmethod
    def outputs(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
        return shape

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        if mask is not None:
            raise ValueError("an autoregressive decoder cannot leave out pixels")
        return EachByThoseBefore(self.network(z), self.before)


def rows(steps: int) -> dict[str, dict[str, Any]]:
    """What is tried, each for ``steps`` steps in all."""
    return {
        "ELBO": {},
        "annealing, `BetaELBO(Linear(half))`": {"objective": BetaELBO(Linear(steps // 2))},
        "cyclical, `BetaELBO(Cyclical(quarter))`": {"objective": BetaELBO(Cyclical(steps // 4))},
        "free bits, `FreeBits(0.2)`": {"objective": FreeBits(0.2)},
        "delta-VAE, `CommittedNormal`": {"posterior": CommittedNormal},
        "`GECO(20)`": {"objective": GECO(20.0)},
        "aggressive, `strategy=Aggressive(patience=10)`": {"strategy": Aggressive(patience=10)},
    }


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    digits = data.load("digits").binarized()
    steps = options.epochs * -(-len(digits.train) // 100)
    x = digits.test
    print("| | active units | information, nats | KL | lost by shuffling z | NLL |")
    print("|---|---|---|---|---|---|")
    for name, chosen in rows(steps).items():
        torch.manual_seed(options.seed)
        posterior = chosen.pop("posterior", DiagonalNormal)
        model = vae.Model(
            StandardNormal(LATENT), Autoregressive(MLP(LATENT, PIXELS, hidden=[200] * 3))
        )
        network = MLP(PIXELS, posterior.outputs(LATENT), hidden=[200])
        guide = vae.Guide(posterior(network))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)
            fit(
                model, guide, digits, epochs=options.epochs, batch_size=100, lr=1e-3,
                seed=options.seed, restore_best=False, progress=False,
                **{"objective": ELBO(), **chosen},
            )  # fmt: skip
        report = evaluation.collapse_report(model, guide, x)
        nll = evaluation.evaluate(model, guide, x, particles=500)
        print(
            f"| {name} | {report.units.count} of {LATENT} | {report.information:.2f} "
            f"| {report.kl:.2f} | {report.shuffled_loss:.2f} "
            f"| {nll.nll:.2f} ± {nll.nll_stderr:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
