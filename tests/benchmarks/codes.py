"""Latents that are classes or codes: estimators, and priors over a learned codebook.

``python tests/benchmarks/codes.py`` trains on 8x8 digits, cut at a half, and prints Markdown
tables: the discrete VAE with three classes of eight under three estimators, and the
vector-quantised VAE, with codes that are independent and with an autoregressive prior fitted
afterwards to the frozen rest. Its guide is a point mass, so its ELBO has no noise and no samples
tighten it. The test images are 300.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import torch
from pictures import rows
from tables import table
from torch import Tensor

from pyro_vae import data, fit
from pyro_vae.evaluation import evaluate, generate, reconstruct
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.priors import Categorical
from pyro_vae.programs import discrete, vector_quantised
from pyro_vae.programs.code_priors import AutoregressiveCodes, IndependentCodes
from pyro_vae.programs.codebook import Codebook

fit_quietly = partial(fit, batch_size=100, lr=3e-3, progress=False)


def three_classes(x: Tensor, test: Tensor, seed: int) -> None:
    """Train with each estimator and print."""
    lines = []
    for estimator, particles in [("enumerate", 1), ("leave-one-out", 4), ("gumbel-softmax", 1)]:
        torch.manual_seed(seed)
        began = time.process_time()
        classes = [Categorical(8) for _ in range(3)]
        model = discrete.Model(classes, Bernoulli(MLP(24, 64, [128])))
        guide = discrete.Guide(MLP(64, (3, 8), [128]), estimator)
        objective = ELBO(particles=particles)
        fit_quietly(model, guide, x, objective=objective, epochs=100, seed=seed)
        seconds = time.process_time() - began
        report = evaluate(model, guide, test, particles=1000)
        elbo = f"{report.elbo:.2f} ± {report.elbo_stderr:.2f}"
        nll = f"{report.nll:.2f} ± {report.nll_stderr:.2f}"
        lines.append([f"{estimator}, particles {particles}", elbo, nll, f"{seconds:.0f}"])
    table(["3 classes of 8", "ELBO, test", "NLL, test", "CPU s"], lines)


def codebook(x: Tensor, valid: Tensor, test: Tensor, seed: int, picture: str | None) -> None:
    """Train, fit the second prior, print and draw."""
    torch.manual_seed(seed)
    lines, began = [], time.process_time()
    book = Codebook(size=16, width=4, codes=8)
    likelihood, encoder = Bernoulli(MLP(32, 64, [128])), MLP(64, 32, [128])
    book.place(encoder(x), torch.Generator().manual_seed(seed))
    model: Any = vector_quantised.Model(IndependentCodes(book), likelihood)
    guide = vector_quantised.Guide(encoder, book)
    fit_quietly(model, guide, x, epochs=150, seed=seed)
    images = {"image": test[:10], "reconstruction": reconstruct(model, guide, test[:10])}
    for name in ("independent", "autoregressive"):
        if name == "autoregressive":
            guide.requires_grad_(False)
            likelihood.requires_grad_(False)
            model = vector_quantised.Model(AutoregressiveCodes(book, hidden=32), likelihood)
            fit_quietly(model, guide, x, epochs=30, validation=valid, seed=seed)
        report = evaluate(model, guide, test, particles=1)
        split = [f"{value:.2f}" for value in (report.reconstruction, report.kl)]
        elbo = f"{report.elbo:.2f} ± {report.elbo_stderr:.2f}"
        lines.append([name, elbo, *split, f"{time.process_time() - began:.0f}"])
        drawn = generate(model, test, 20, seed=seed)
        images[f"{name} prior"], images[f"{name}  prior"] = drawn.split(10)
    table(["prior of 8 codes of 16", "ELBO, test", "reconstruction", "KL", "CPU s"], lines)
    print("\ncodes used:", len(book.nearest(encoder(test)).unique()), "of", book.size)
    if picture is not None:
        rows(images, picture, cmap="gray_r")


def main() -> None:
    """Train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="draw reconstructions and samples into this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = data.load("digits")
    x, valid, test = ((part > 0.5).float() for part in (found.train, found.valid, found.test))
    three_classes(x, test, given.seed)
    codebook(x, valid, test, given.seed, given.picture)


if __name__ == "__main__":
    main()
