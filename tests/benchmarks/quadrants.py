"""What the rest of a digit is, given one, two or three of its quadrants.

``PYRO_VAE_DATA=folder python tests/benchmarks/quadrants.py`` trains, for each, a network that
predicts every hidden pixel by itself and a conditional VAE, and prints a Markdown table of the
hidden pixels' negative log-likelihood on test images, nats. Given pixels are grey; hidden ones are
binarised at random, in training afresh for each mini-batch. So the baseline's figure is, in
expectation, the cross-entropy of grey pixels that is usually reported.

Sohn, Lee and Yan 2015, *Learning Structured Output Representation using Deep Conditional
Generative Models*, section 5.1; the quadrants are those of Pyro's tutorial on it.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import pyro
import torch
from pictures import one_of_each, rows
from torch import Tensor

from pyro_vae import data, evaluation, fit
from pyro_vae.data import dynamic_binarization
from pyro_vae.evaluation.completion import complete, parted
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.programs import Program, conditional

LATENT, HIDDEN = 50, 400


def given(quadrants: int) -> Tensor:
    """Which pixels are known: bottom left; all of the left; all but bottom right."""
    known = torch.zeros(28, 28, dtype=torch.bool)
    known[14:, :14] = True
    known[:14, :14] = quadrants > 1
    known[:14, 14:] = quadrants > 2
    return known


class Baseline(Program):
    """p(x|y) with no latent: each pixel by itself."""

    def __init__(self, known: int, unknown: int) -> None:
        super().__init__()
        self.likelihood = Bernoulli(MLP(known, unknown, hidden=[500, 500]))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            return pyro.sample("x", self.likelihood(y), obs=x)


def no_latents(x: Tensor, y: Tensor) -> None:
    """The guide of a model without latents."""


def cvae(known: int, unknown: int) -> tuple[conditional.Model, conditional.Guide]:
    prior = DiagonalNormal(MLP(known, 2 * LATENT, [HIDDEN]))
    likelihood = Bernoulli(MLP(LATENT + known, unknown, [HIDDEN, HIDDEN]))
    posterior = DiagonalNormal(MLP(unknown + known, 2 * LATENT, [HIDDEN, HIDDEN]))
    return conditional.Model(prior, likelihood), conditional.Guide(posterior)


def main() -> None:
    """Train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quadrants", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--images", type=int, default=2000, help="test images of the NLL")
    parser.add_argument("--particles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="file to draw the first one's completions into")
    options = parser.parse_args()
    mnist = data.load("mnist", cache=os.environ["PYRO_VAE_DATA"], download=False)
    train, valid, test = (x.reshape(-1, 28, 28) for x in (mnist.train, mnist.valid, mnist.test))
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(options.seed))
    shown = one_of_each(test, mnist.labels["test"])
    settings: dict[str, Any] = {
        "batch_size": 128, "lr": 1e-3, "patience": 3, "transform": dynamic_binarization,
        "seed": options.seed, "progress": False,
    }  # fmt: skip
    print("| quadrants given | baseline | CVAE, ELBO | CVAE, NLL | ESS | epochs | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for quadrants in options.quadrants:
        torch.manual_seed(options.seed)
        known = given(quadrants)
        parts = [parted(x, known) for x in (train, valid, test[order])]
        (x, y), (xv, yv), (xt, yt) = parts
        xv, xt = torch.bernoulli(xv), torch.bernoulli(xt)
        sizes = y.shape[1], x.shape[1]
        baseline, (model, guide) = Baseline(*sizes), cvae(*sizes)
        start = time.process_time()
        first = fit(
            baseline, no_latents, (x, y), validation=(xv, yv), epochs=min(12, options.epochs),
            **settings,
        )  # fmt: skip
        second = fit(model, guide, (x, y), validation=(xv, yv), epochs=options.epochs, **settings)
        seconds = time.process_time() - start
        with torch.no_grad():
            alone = -baseline.likelihood(yt).log_prob(xt)
        report = evaluation.evaluate(model, guide, xt, yt, particles=1)
        some = xt[: options.images], yt[: options.images]
        evidence = evaluation.log_evidence(model, guide, *some, particles=options.particles)
        print(
            f"| {quadrants} | {alone.mean():.2f} ± {alone.std() / len(alone) ** 0.5:.2f} "
            f"| {-report.elbo:.2f} ± {report.elbo_stderr:.2f} "
            f"| {-evidence.mean:.2f} ± {evidence.stderr:.2f} "
            f"| {evidence.effective_sample_size.median():.0f} "
            f"| {len(first['elbo'])}, {len(second['elbo'])} | {seconds:.0f} |",
            flush=True,
        )
        if options.picture and quadrants == options.quadrants[0]:
            draw(options.picture, model, baseline, shown, known)


def draw(path: str, model: Any, baseline: Any, x: Tensor, known: Tensor) -> None:
    """Given, four completions, the baseline's, and the original, a row each."""
    guess = x.clone()
    with torch.no_grad():
        guess[:, ~known] = baseline.likelihood(parted(x, known)[1]).mean
    draws = complete(model, x, known, draws=4)
    images = {"given": x.masked_fill(~known, torch.nan)}
    images |= {f"CVAE, draw {number}": draw for number, draw in enumerate(draws, 1)}
    rows({**images, "no latent": guess, "the image": x}, path)


if __name__ == "__main__":
    main()
