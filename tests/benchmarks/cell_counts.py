"""Which likelihood do the counts of transcripts in single cells want?

``PYRO_VAE_DATA=folder python tests/benchmarks/cell_counts.py`` trains the same VAE with a Poisson,
a negative binomial and a zero-inflated negative binomial likelihood, each given the cell's total,
on 10,000 cells of mouse brain with 715 genes, and prints the held-out NLL as Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import small
from torch import Tensor

from pyro_vae import evaluation, fit
from pyro_vae.likelihoods import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, counts

LATENT, HIDDEN = 10, [128]
MARKER = "Dbi"  # of these genes it varies most between cells, for its mean
LIKELIHOODS = (Poisson, NegativeBinomial, ZeroInflatedNegativeBinomial)


def cells(folder: Path) -> tuple[list[Tensor], list[str]]:
    """8,000 training, 1,000 validation and 1,000 test cells, shuffled by seed 0; gene names."""
    file = np.load(folder / "singlecell" / "brain10k_subset.npz", allow_pickle=False)
    n, genes = (int(size) for size in file["shape"])
    row = np.repeat(np.arange(n), np.diff(file["indptr"]))
    x = np.zeros((n, genes), dtype=np.float32)
    x[row, file["indices"].astype(np.int64)] = file["data"]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    parts = torch.from_numpy(x)[order].split([n - 2000, 1000, 1000])
    return list(parts), file["genes"].tolist()


#: Adam moves the logarithm of a dispersion by at most its rate in a step: start near Poisson.
DISPERSION = 10.0


def trained(likelihood: Any, x: Tensor, valid: Tensor, epochs: int, seed: int) -> VAE:
    """Both programs, with the weights of the best validation epoch."""
    torch.manual_seed(seed)
    genes = x.shape[1]
    network = MLP(LATENT, likelihood.outputs((genes,)), HIDDEN)
    options = {} if likelihood is Poisson else {"initial": DISPERSION}
    model = counts.Model(StandardNormal(LATENT), likelihood(network, **options))
    guide = counts.Guide(DiagonalNormal(MLP(genes, 2 * LATENT, HIDDEN)))
    fit(model, guide, x, validation=valid, epochs=epochs, lr=5e-3, seed=seed, compile=True,
        progress=False)  # fmt: skip
    return VAE(model, guide)


def main() -> None:
    """Train, evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--particles", type=int, default=100)
    parser.add_argument("--picture", help="draw zeros and variances against means into this file")
    options = parser.parse_args()
    if "PYRO_VAE_DATA" not in os.environ:
        sys.exit("set PYRO_VAE_DATA to a folder with singlecell/brain10k_subset.npz")
    (train, valid, test), genes = cells(Path(os.environ["PYRO_VAE_DATA"]))
    print(
        "| likelihood | seed | NLL ± SE over cells | more than Poisson, same cells | ELBO | CPU s |"
    )
    print("|---|---|---|---|---|---|")
    found: dict[tuple[str, int], Tensor] = {}
    last = {}
    for seed in range(options.seeds):
        for likelihood in LIKELIHOODS:
            start, name = time.process_time(), likelihood.__name__
            both = trained(likelihood, train, valid, options.epochs, seed)
            seconds = time.process_time() - start
            evidence = evaluation.log_evidence(*both, test, particles=options.particles)
            elbo = evaluation.evaluate(*both, test, particles=1).elbo
            found[name, seed] = evidence.log_evidence.double()
            gain = found[name, seed] - found["Poisson", seed]
            print(
                f"| `{name}` | {seed} | {-evidence.mean:.2f} ± {evidence.stderr:.2f} "
                f"| {0.0 - gain.mean():+.2f} ± {gain.std() / len(gain) ** 0.5:.2f} | {elbo:.2f} "
                f"| {seconds:.0f} |",
                flush=True,
            )
            last[name] = evaluation.reconstruct(*both, test, samples=True)
            if likelihood is NegativeBinomial:
                guide = both.guide
    if options.picture:
        picture(test, genes.index(MARKER), guide, last, options.picture)


def picture(x: Tensor, gene: int, guide: Any, drawn: dict[str, Tensor], file: str) -> None:
    """The cells' latents, coloured by one gene; and the spread of every gene, in data and replicas.

    Of the latent dimensions the two along which the means of q(z|x) vary most are shown: where z is
    standard normal, so is any rotation of it.
    """
    import matplotlib.pyplot as plt

    from pyro_vae import plots

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    z = evaluation.encode(guide, x).mean
    _, _, axes = torch.linalg.svd(z - z.mean(0), full_matrices=False)
    share = (1e4 * x[:, gene] / x.sum(1).clamp(min=1)).log1p()
    plots.latent_scatter(z @ axes[:2].T, share, ax=left, title=f"Cells, by log share of {MARKER}")
    left.set(xlabel="first principal axis of z", ylabel="second")
    left.figure.axes[-1].set_ylabel("log(1 + transcripts in 10,000)", fontsize="small")
    sets = {"data": x, **drawn}
    for place, (name, counts_) in enumerate(sets.items()):
        mean, look = counts_.mean(0), {"s": 8, "label": name, "zorder": -place, "linewidths": 0}
        seen = mean > 0
        color = ("#000000", "#56B4E9", "#E69F00", "#009E73")[place]
        right.scatter(mean[seen], (counts_.var(0) / mean)[seen], color=color, **look)
    right.set(xscale="log", yscale="log", xlabel="mean count of a gene")
    right.set_ylabel("variance / mean")
    right.set_title("Genes, in the test cells and in replicas of them", fontsize="medium")
    right.legend(fontsize=8, frameon=False, markerscale=2)
    small(plots.save([left, right], file, dpi=100))


if __name__ == "__main__":
    main()
