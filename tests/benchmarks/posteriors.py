"""What a richer posterior costs: a step of each beside ``DiagonalNormal``'s, interleaved.

``python tests/benchmarks/posteriors.py`` prints a Markdown table: 784-400-32, batch 128, the ELBO.
"""

from __future__ import annotations

import argparse

import pyro
import torch
from interleave import interleaved, looped
from pyro.infer import SVI
from setting import Setting

from pyro_vae import posteriors
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae
from pyro_vae.training import CompiledSVI

NAMES = ("DiagonalNormal", "FullCovarianceNormal", "Householder", "InverseAutoregressive")
LATENT = 32


def step(name: str, kind):
    """One step of the pair with this posterior."""
    torch.manual_seed(0)
    posterior = getattr(posteriors, name)
    network = MLP(784, posterior.outputs(LATENT), hidden=[400])
    takes = posterior.__init__.__code__.co_varnames
    guide = vae.Guide(posterior(network, LATENT) if "latent" in takes else posterior(network))
    model = vae.Model(StandardNormal(LATENT), Bernoulli(MLP(LATENT, 784, hidden=[400])))
    svi = kind(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=ELBO())
    x = Setting().x()
    return lambda: svi.step(x)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    steps = {f"SVI {name}": looped(step(name, SVI)) for name in NAMES}
    steps |= {f"CompiledSVI {name}": looped(step(name, CompiledSVI)) for name in NAMES}
    timings = interleaved(steps, options.rounds)
    print("| posterior | SVI, ÷ diagonal | CompiledSVI, ÷ diagonal |\n|---|---|---|")
    for name in NAMES:
        ratios = [
            timings[f"{kind} {name}"].least / timings[f"{kind} DiagonalNormal"].least
            for kind in ("SVI", "CompiledSVI")
        ]
        print(f"| `{name}` | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
