"""Classes that nobody told: what the clusters of digits have to do with the digits.

``python tests/benchmarks/clusters.py`` trains the clustering VAE on binarised 8x8 digits with 10
and with 20 clusters and prints a Markdown table, means over seeds with their standard errors.
Labels are used once, to match clusters to classes after training, one to one: with more clusters
than classes, the images of the clusters left over count as wrong.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from pictures import rows
from tables import mean_and_error, table
from torch import Tensor

from pyro_vae import data, fit
from pyro_vae.evaluation import classify, decode, evaluate, match_clusters
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import MixtureOfNormals
from pyro_vae.programs import VAE, clustering

LATENT, HIDDEN = 8, [128]


def trained(x: Tensor, components: int, epochs: int, seed: int) -> VAE:
    """Both programs."""
    torch.manual_seed(seed)
    prior = MixtureOfNormals(LATENT, components)
    model = clustering.Model(prior, Bernoulli(MLP(LATENT, 64, HIDDEN)))
    guide = clustering.Guide(DiagonalNormal(MLP(64, 2 * LATENT, HIDDEN)), prior)
    fit(model, guide, x, epochs=epochs, batch_size=100, lr=3e-3, seed=seed, progress=False)
    return VAE(model, guide)


def main() -> None:
    """Train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--picture", help="draw the clusters into this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = data.load("digits")
    train, test = (found.train > 0.5).float(), (found.test > 0.5).float()
    truth, lines = found.labels["test"], []
    for components in (10, 20):
        scores, used, bounds, began = [], [], [], time.process_time()
        for seed in range(given.seeds):
            model, guide = trained(train, components, given.epochs, seed)
            probabilities = classify(guide, test, site="c", particles=16)
            result = match_clusters(probabilities, truth)
            scores.append(result.accuracy.overall)
            used.append(float(result.used))
            bounds.append(evaluate(model, guide, test, particles=100).elbo)
            if given.picture and (components, seed) == (10, 0):
                draw(given.picture, model, test, probabilities)
        numbers = mean_and_error(scores, ".1%"), mean_and_error(used, ".1f"), mean_and_error(bounds)
        lines.append([components, *numbers, f"{time.process_time() - began:.0f}"])
    table(["clusters", "accuracy, matched", "used", "ELBO, test", "CPU s"], lines)


def draw(path: str, model: Any, x: Tensor, probabilities: Tensor) -> None:
    """A row for each cluster, the largest first: what the model draws there, and test images."""
    of = probabilities.argmax(-1)
    images = {}
    for c in of.bincount(minlength=probabilities.shape[1]).argsort(descending=True).tolist():
        made = decode(model, x, {"c": torch.full((6,), c)})
        members = x[of == c][:6]
        absent = x.new_zeros(6 - len(members), x.shape[1])
        images[f"c = {c}"] = torch.cat([made, members, absent])
    columns = ["", "", "drawn from p(x|c)", *[""] * 5, "test images in c", "", "", ""]
    rows(images, path, columns=columns, cmap="gray_r", cell=0.45)


if __name__ == "__main__":
    main()
