"""Linear VAEs of the digits beside their exact solutions.

``python tests/benchmarks/linear_family.py`` prints a Markdown table: the exact log-likelihood of
probabilistic PCA (closed form), of factor analysis (EM), and of what ``fit`` makes of the same
models with a linear guide, with its ELBO. 8x8 digits, pixels over 16 with noise of a grey level.
"""

from __future__ import annotations

import argparse

import torch
from pictures import rows
from torch import Tensor

from pyro_vae import data, evaluation, fit
from pyro_vae.programs import linear
from pyro_vae.programs.solutions import factor_analysis, principal_components


def noisy(x: Tensor, seed: int) -> Tensor:
    """Pixels that never vary have no density: spread each grey level over its width."""
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    return (x.flatten(1) * 16 + noise) / 17


def exact(model: linear.Model, x: Tensor) -> str:
    with torch.no_grad():
        each = model.double().evidence().log_prob(x.double())
    return f"{each.mean():.2f} ± {each.std() / len(each) ** 0.5:.2f}"


def main() -> None:
    """Solve, train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--latent", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="file to draw the loadings into")
    options = parser.parse_args()
    digits = data.load("digits")
    train, test = noisy(digits.train, 0), noisy(digits.test, 1)
    print("| | train, exact | test, exact | ELBO, train |")
    print("|---|---|---|---|")
    found: dict[str, Tensor] = {}
    solutions = {"shared": principal_components, "per-feature": factor_analysis}
    names = {"shared": "probabilistic PCA", "per-feature": "factor analysis"}
    for noise, solution in solutions.items():
        solved = solution(train, options.latent)
        print(f"| {names[noise]}, solved | {exact(solved, train)} | {exact(solved, test)} | |")
        torch.manual_seed(options.seed)
        model = linear.Model(64, options.latent, noise)
        guide = linear.Guide(64, options.latent)
        fit(
            model, guide, train, epochs=options.epochs, batch_size=64, lr=1e-2,
            seed=options.seed, progress=False,
        )  # fmt: skip
        elbo = evaluation.evaluate(model, guide, train, particles=1, elbo_particles=8)
        print(
            f"| {names[noise]}, trained | {exact(model, train)} | {exact(model, test)} "
            f"| {elbo.elbo:.2f} ± {elbo.elbo_stderr:.2f} |",
            flush=True,
        )
        kind = "PCA" if noise == "shared" else "factors"
        found[f"{kind}, solved"] = loadings(solved)
        found[f"{kind}, trained"] = like(loadings(model), found[f"{kind}, solved"])
    if options.picture:
        rows(found, options.picture, shape=(8, 8), cmap="RdBu")


def loadings(model: linear.Model) -> Tensor:
    """W's columns in the rotation whose posterior is independent, from most to least."""
    with torch.no_grad():
        noise = model.log_scale.exp().expand(len(model.W))[:, None]
        U, S, _ = torch.linalg.svd(model.W / noise, full_matrices=False)
        columns = (U * S * noise).T.float()
    return columns / columns.abs().amax(1, keepdim=True) / 2 + 0.5


def like(columns: Tensor, others: Tensor) -> Tensor:
    """The same with the signs, which are arbitrary, of the others."""
    sign = ((columns - 0.5) * (others - 0.5)).sum(1, keepdim=True).sign()
    return (columns - 0.5) * sign + 0.5


if __name__ == "__main__":
    main()
