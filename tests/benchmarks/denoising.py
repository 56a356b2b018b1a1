"""A guide that was trained on spoilt digits, beside one that was not.

``python tests/benchmarks/denoising.py`` trains a VAE on the binarised 8x8 digits with a plain guide
and with guides that see corrupted copies, and prints as Markdown, for test images, the NLL and the
denoising bound E[log p(x, z) - log q(z|spoilt x)].
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import pyro
import torch
from pictures import rows
from torch import Tensor, nn

from pyro_vae import data, evaluation, fit
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, denoising
from pyro_vae.programs.corruption import Masking, SaltAndPepper

PIXELS, LATENT, HIDDEN = 64, 16, [200]
GUIDES: dict[str, nn.Module] = {
    "plain": nn.Identity(),
    "`Masking(0.5)`": Masking(0.5),
    "`SaltAndPepper(0.4)`": SaltAndPepper(0.4),
}


def reader(posterior: nn.Module) -> Callable[..., Tensor]:
    """A guide that is given what it sees: the bound at one spoilt copy of each image."""

    def guide(x: Tensor, seen: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            return pyro.sample("z", posterior(seen))

    return guide


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="draw spoilt digits and their reconstructions here")
    options = parser.parse_args()
    digits = data.load("digits").binarized()
    x = digits.test
    torch.manual_seed(1)
    spoilt = {
        "half of it white": Masking(0.5).corrupt(x),
        "salt and pepper": SaltAndPepper(0.4).corrupt(x),
    }
    print(
        "| guide | NLL, clean | " + " | ".join(f"bound, {name}" for name in spoilt) + " | CPU s |"
    )
    print("|---" * (3 + len(spoilt)) + "|")
    made: list[Tensor] = []
    for name, corruption in GUIDES.items():
        torch.manual_seed(options.seed)
        start = time.process_time()
        model = denoising.Model(StandardNormal(LATENT), Bernoulli(MLP(LATENT, PIXELS, HIDDEN)))
        posterior = DiagonalNormal(MLP(PIXELS, 2 * LATENT, HIDDEN))
        both = VAE(model, denoising.Guide(posterior, corruption))
        fit(*both, digits, epochs=options.epochs, seed=options.seed, compile=True,
            progress=False)  # fmt: skip
        seconds = time.process_time() - start
        report = evaluation.evaluate(*both, digits.test, particles=200)
        bounds = []
        for seen in spoilt.values():
            told = evaluation.evaluate(model, reader(posterior), x, seen, particles=1)
            bounds.append(f"{told.elbo:.2f} ± {told.elbo_stderr:.2f}")
        if name in ("plain", "`SaltAndPepper(0.4)`"):
            draws = [evaluation.reconstruct(*both, seen, seed=i) for i in range(50)]
            made.append(torch.stack(draws).mean(0))
        print(f"| {name} | {report.nll:.2f} ± {report.nll_stderr:.2f} | {' | '.join(bounds)} "
              f"| {seconds:.0f} |", flush=True)  # fmt: skip
    if options.picture:
        shown = [x, spoilt["salt and pepper"], made[0], made[1]]
        names = ["clean", "spoilt", "plain guide", "denoising guide"]
        images = {name: part[:12] for name, part in zip(names, shown, strict=True)}
        rows(images, options.picture, cmap="gray_r")


if __name__ == "__main__":
    main()
