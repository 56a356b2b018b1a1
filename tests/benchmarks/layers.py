"""Where a hierarchy spends its KL: inference from the bottom up, and from the top down.

``PYRO_VAE_DATA=folder python tests/benchmarks/layers.py`` trains hierarchies on static MNIST and
prints a Markdown table: nats of KL in each layer, active units, ELBO and NLL on test images. The
models of two layers are the same.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import torch
from pictures import one_of_each, rows

from pyro_vae import data, evaluation, fit
from pyro_vae.evaluation.layers import kl_per_site, redraw
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.objectives import BetaELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import hierarchical, residual
from pyro_vae.schedules import Linear

PIXELS, Z1, Z2, HIDDEN = 784, 32, 16, 300


def model() -> hierarchical.Model:
    layers = [DiagonalNormal(MLP(Z2, 2 * Z1, [HIDDEN]))]
    return hierarchical.Model(StandardNormal(Z2), layers, Bernoulli(MLP(Z1, PIXELS, [HIDDEN])))


def bottom_up() -> tuple[Any, Any]:
    posteriors = [
        DiagonalNormal(MLP(PIXELS, 2 * Z1, [HIDDEN])),
        DiagonalNormal(MLP(Z1, 2 * Z2, [HIDDEN])),
    ]
    return model(), hierarchical.Guide(posteriors)


def top_down() -> tuple[Any, Any]:
    ladder = model()
    up = [MLP(PIXELS, HIDDEN, [HIDDEN]), MLP(HIDDEN, HIDDEN, [HIDDEN])]
    posteriors = [DiagonalNormal(MLP(HIDDEN, 2 * size, [])) for size in (Z1, Z2)]
    return ladder, hierarchical.LadderGuide(up, posteriors, ladder.layers)


def deep(layers: int = 6, latent: int = 8, width: int = 128) -> tuple[Any, Any]:
    stream = residual.Stream(layers, latent, width, hidden=[width])
    posteriors = [DiagonalNormal(MLP(2 * width, 2 * latent, [width])) for _ in range(layers)]
    guide = residual.Guide(stream, MLP(PIXELS, width, [HIDDEN]), posteriors)
    return residual.Model(stream, Bernoulli(MLP(width, PIXELS, [HIDDEN]))), guide


def one() -> tuple[Any, Any]:
    posteriors = [DiagonalNormal(MLP(PIXELS, 2 * Z1, [HIDDEN]))]
    likelihood = Bernoulli(MLP(Z1, PIXELS, [HIDDEN]))
    return hierarchical.Model(StandardNormal(Z1), [], likelihood), hierarchical.Guide(posteriors)


KINDS = {
    f"one layer ({Z1})": one,
    f"two layers ({Z1}, {Z2}), bottom up": bottom_up,
    f"two layers ({Z1}, {Z2}), top down (ladder)": top_down,
    "six layers (8 each), residual, top down": deep,
}


def main() -> None:
    """Train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", type=int, nargs="+", help="rows to make, counted from 1")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--images", type=int, default=2000, help="test images")
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="file to draw what each layer decides into")
    options = parser.parse_args()
    folder = os.environ["PYRO_VAE_DATA"]
    mnist = data.load("mnist_static", cache=folder, download=False).flatten()
    # At random: the published test images are in the order of their classes.
    order = torch.randperm(len(mnist.test), generator=torch.Generator().manual_seed(options.seed))
    x = mnist.test[order[: options.images]]
    steps = options.epochs * -(-len(mnist.train) // 128)
    print("| | KL of each layer, z1 first | active units | ELBO | NLL | CPU s |")
    print("|---|---|---|---|---|---|")
    kinds = list(KINDS.items())
    for name, make in [kinds[row - 1] for row in options.only or range(1, len(kinds) + 1)]:
        torch.manual_seed(options.seed)
        programs = make()
        start = time.process_time()
        fit(
            *programs, mnist, objective=BetaELBO(Linear(steps // 4)), epochs=options.epochs,
            lr=1e-3, seed=options.seed, progress=False, compile=True,
        )  # fmt: skip
        seconds = time.process_time() - start
        kl = kl_per_site(*programs, x)
        report = evaluation.evaluate(*programs, x, particles=options.particles)
        shown = ", ".join(f"{kl[site].mean():.2f}" for site in sorted(kl))
        print(
            f"| {name} | {shown} | {report.active_units} of {report.latent} "
            f"| {report.elbo:.2f} ± {report.elbo_stderr:.2f} "
            f"| {report.nll:.2f} ± {report.nll_stderr:.2f} | {seconds:.0f} |",
            flush=True,
        )
    if options.picture:
        draw(options.picture, *programs, one_of_each(mnist.test, mnist.labels["test"]))


def draw(path: str, model: Any, guide: Any, x: torch.Tensor) -> None:
    """The last one: latents kept from the top down, ever more of them, the others drawn anew."""
    count = len(kl_per_site(model, guide, x[:1], particles=1))
    images = {"data": x}
    for lowest in range(count, 0, -1):
        keep = [f"z{number}" for number in range(count, lowest - 1, -1)]
        name = f"z{count} kept" if lowest == count else f"z{count} to z{lowest} kept"
        images[name] = redraw(model, guide, x, keep=keep, draws=1)[0]
    rows(images, path)


if __name__ == "__main__":
    main()
