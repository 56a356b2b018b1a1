"""Half of a table lost at random, and filled in again.

``python tests/benchmarks/missing_data.py`` removes half the entries of the breast-cancer table,
trains on what is left, and prints the mean squared error of the imputed entries as Markdown, beside
those of filling in column means and of iterated ridge regression (scikit-learn). The setting is
that of Mattei and Frellsen's notebook (columns standardised, ten latents, 128 hidden units, a
Student-t likelihood, 20 particles, Adam), but that the scales of the likelihood are one for each
column; ``--scale per-pixel`` predicts them from z, as there.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
from pictures import small
from tables import mean_and_error
from torch import Tensor

from pyro_vae import fit
from pyro_vae.evaluation.impute import impute, multiple_imputations
from pyro_vae.likelihoods import StudentT
from pyro_vae.networks import MLP
from pyro_vae.objectives import ImportanceWeightedELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, missing

LATENT, HIDDEN = 10, [128, 128]


def table() -> Tensor:
    """569 tumours with 30 measures each, standardised."""
    from sklearn.datasets import load_breast_cancer

    x = torch.from_numpy(load_breast_cancer().data)
    return ((x - x.mean(0)) / x.std(0, unbiased=False)).float()


def trained(x: Tensor, mask: Tensor, options: argparse.Namespace, seed: int) -> VAE:
    """Both programs after training on what the mask leaves."""
    torch.manual_seed(seed)
    width = x.shape[1]
    network = MLP(LATENT, StudentT.outputs((width,), scale=options.scale), HIDDEN, "relu")
    likelihood = StudentT(network, df="shared", scale=options.scale)
    guide = missing.Guide(DiagonalNormal(MLP(width, 2 * LATENT, HIDDEN, "relu")))
    programs = VAE(missing.Model(StandardNormal(LATENT), likelihood), guide)
    fit(
        *programs, (x, mask), objective=ImportanceWeightedELBO(20), epochs=options.epochs,
        batch_size=32, lr=options.lr, schedule=options.schedule, seed=seed, compile=True,
        progress=False,
    )  # fmt: skip
    return programs


def main() -> None:
    """Train, impute and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--schedule", default="cosine")
    parser.add_argument("--scale", default="per-dimension", choices=["per-dimension", "per-pixel"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--picture", help="draw truth against imputation into this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    x, errors = table(), []
    names = [
        "seed",
        "column means",
        "iterated ridge",
        "imputed ± SE over rows",
        "90 % hold",
        "CPU s",
    ]
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for seed in range(options.seeds):
        mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
        start = time.process_time()
        programs = trained(x, mask, options, seed)
        seconds = time.process_time() - start
        filled = impute(*programs, x, mask, particles=options.particles)
        copies = multiple_imputations(*programs, x, mask, draws=100, particles=1000)
        low, high = copies.quantile(torch.tensor([0.05, 0.95]), dim=0)
        held = ((low <= x) & (x <= high))[~mask].float().mean()
        by_row = ((filled - x).square() * ~mask).sum(1)
        error = by_row.sum() / (~mask).sum()
        spread = (by_row - error * (~mask).sum(1)).std() * len(x) ** 0.5 / (~mask).sum()
        errors.append(float(error))
        others = [f"{(other - x)[~mask].square().mean():.3f}" for other in plain(x, mask)]
        print(f"| {seed} | {' | '.join(others)} | {error:.3f} ± {spread:.3f} | {held:.1%} "
              f"| {seconds:.0f} |", flush=True)  # fmt: skip
    print(f"\nMSE {mean_and_error(errors, '.3f')} over masks and seeds")
    if options.picture:
        picture(x, mask, filled, low, high, options.picture)


def plain(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Imputed by the means of the columns, and by ridge regression of each on the others."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    known = x.masked_fill(~mask, torch.nan)
    means = known.nanmean(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        ridge = IterativeImputer(random_state=0, max_iter=20).fit_transform(known.numpy())
    return means.expand_as(x), torch.from_numpy(ridge).float()


def picture(x: Tensor, mask: Tensor, filled: Tensor, low: Tensor, high: Tensor, file: str) -> None:
    """Truth against imputation for all missing entries, and one row with its intervals."""
    import matplotlib.pyplot as plt

    from pyro_vae import plots

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 4.2), width_ratios=[1, 1.7], layout="constrained"
    )
    limits = (-2.5, 4.5)
    left.plot(limits, limits, color="0.7", lw=1, zorder=0)
    left.scatter(x[~mask], filled[~mask], s=4, alpha=0.25, linewidths=0, color="#0072B2")
    left.set(xlim=limits, ylim=limits, aspect="equal", xlabel="true value",
             ylabel="imputed value", title="Every entry that was missing")  # fmt: skip
    row = int((~mask).sum(1).sub(15).abs().argmin())
    columns, gone = torch.arange(x.shape[1]), ~mask[row]
    right.vlines(columns[gone], low[row][gone], high[row][gone], color="#0072B2", alpha=0.4, lw=4,
                 label="imputed, 90 %")  # fmt: skip
    right.scatter(columns[gone], filled[row][gone], color="#0072B2", s=18, label="imputed, mean")
    right.scatter(
        columns[gone], x[row][gone], marker="x", color="#D55E00", label="true, was missing"
    )
    right.scatter(columns[~gone], x[row][~gone], color="0.3", s=18, label="known")
    right.set(xlabel="column", ylabel="standardised value", title=f"Row {row}")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=4,
                  fontsize=8, frameon=False)  # fmt: skip
    small(plots.save([left, right], file, dpi=100))


if __name__ == "__main__":
    main()
