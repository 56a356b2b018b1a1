"""Classes with few labels or none: digits, MNIST with 100 labels, clusters, codes.

``python tests/benchmarks/classes.py digits|mnist|clusters|codes [--picture FILE]`` prints a table.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyro_vae import data, fit
from pyro_vae.evaluation import evaluate, generate
from pyro_vae.evaluation.classify import accuracy, classify
from pyro_vae.evaluation.clusters import match_clusters
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import Categorical, MixtureOfNormals, StandardNormal
from pyro_vae.programs import clustering, discrete, semi_supervised, vae, vector_quantised
from pyro_vae.programs.code_priors import AutoregressiveCodes, IndependentCodes
from pyro_vae.programs.codebook import Codebook

fit_quietly = partial(fit, progress=False)


def few_labels(labels: Tensor, each: int, seed: int) -> Tensor:
    """``each`` labels of every class, chosen at random; the others -1."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    told = torch.full_like(labels, -1)
    for k in labels.unique():
        rows = order[labels[order] == k][:each]
        told[rows] = k
    return told


def black_and_white(x: Tensor) -> Tensor:
    return (x > 0.5).to(x.dtype)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    spread = torch.tensor(values, dtype=torch.float64)
    return float(spread.mean()), float(spread.std() / math.sqrt(len(values)))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def m2(
    x: Tensor,
    told: Tensor,
    seed: int,
    *,
    hidden: int,
    latent: int,
    auxiliary: float,
    **options: Any,
) -> tuple[Any, Any]:
    """Train M2 on x (binary, or a code where ``real``) and a few labels."""
    torch.manual_seed(seed)
    real, estimator = options.pop("real", False), options.pop("estimator", "enumerate")
    size = x[0].numel()
    net = MLP(10 + latent, size, [hidden])
    model = semi_supervised.Model(
        Categorical(10), StandardNormal(latent), Normal(net) if real else Bernoulli(net)
    )
    guide = semi_supervised.Guide(
        MLP(size, 10, [hidden]),
        DiagonalNormal(MLP(size + 10, 2 * latent, [hidden])),
        auxiliary=auxiliary,
        estimator=estimator,
    )
    particles = 2 if estimator == "leave-one-out" else 1
    fit_quietly(model, guide, (x, told), objective=ELBO(particles=particles), seed=seed, **options)
    return model, guide


def classifier_alone(x: Tensor, told: Tensor, seed: int, hidden: int) -> torch.nn.Module:
    """The same network, taught by the labelled rows alone."""
    torch.manual_seed(seed)
    net = MLP(x[0].numel(), 10, [hidden])
    kept = told >= 0
    optimizer = torch.optim.Adam(net.parameters(), 2e-3, weight_decay=1e-4)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[kept]), told[kept]).backward()
        optimizer.step()
    return net


def encoder_of(x: Tensor, seed: int, latent: int, hidden: int, **options: Any) -> Any:
    """M1: a VAE without labels, whose posterior mean is taken for x."""
    torch.manual_seed(seed)
    net = MLP(latent, x[0].numel(), [hidden])
    model = vae.Model(StandardNormal(latent), Bernoulli(net))
    guide = vae.Guide(DiagonalNormal(MLP(x[0].numel(), 2 * latent, [hidden])))
    fit_quietly(model, guide, x, seed=seed, **options)
    return guide


def encoded(guide: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        z: Tensor = guide.posterior(x).mean
    return z


def semi(name: str, picture: str | None) -> None:
    digits = name == "digits"
    found = data.load(name).flatten()
    x, labels = black_and_white(found.train), found.labels["train"]
    test, truth = black_and_white(found.test), found.labels["test"]
    size: dict[str, Any] = {"hidden": 128, "latent": 8} if digits else {"hidden": 300, "latent": 32}
    options: dict[str, Any] = {"batch_size": 100 if digits else 250, "lr": 3e-3}
    # M2 of images decodes each of them ten times; of codes, that costs little.
    on_codes, on_images = {"epochs": 60 if digits else 8}, {"epochs": 60 if digits else 3}
    seeds = range(3)
    weight = 60.0  # N / (10 N_labelled) of MNIST, as in the paper
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}

    def score(method: str, began: float, probabilities: Tensor) -> None:
        scores.setdefault(method, []).append(accuracy(probabilities, truth).overall)
        seconds[method] = time.perf_counter() - began
        print(f"# {method} {scores[method]} {seconds[method]:.0f} s", flush=True)

    for seed in seeds:
        told = few_labels(labels, 10, seed)
        began = time.perf_counter()
        net = classifier_alone(x, told, seed, size["hidden"])
        score("the network on the labelled alone", began, net(test).softmax(-1).detach())
        began = time.perf_counter()
        m1 = encoder_of(x, seed, **size, **options, **on_codes)
        z, z_test = encoded(m1, x), encoded(m1, test)
        middle, spread = z.mean(0), z.std()
        z, z_test = (z - middle) / spread, (z_test - middle) / spread
        net = classifier_alone(z, told, seed, size["hidden"])
        score("M1: a network on z of a VAE", began, net(z_test).softmax(-1).detach())
        began = time.perf_counter()
        m2_options = {**size, **options, "auxiliary": weight}
        _, guide = m2(z, told, seed, **m2_options, **on_codes, real=True)
        score("M1 + M2 (M1's time apart)", began, classify(guide, z_test))
        for estimator in ["enumerate", "gumbel-softmax"] if digits else ["enumerate"]:
            began = time.perf_counter()
            model, guide = m2(x, told, seed, **m2_options, **on_images, estimator=estimator)
            score(f"M2, {estimator}", began, classify(guide, test))
            if seed == 0 and estimator == "enumerate":
                first = model, accuracy(classify(guide, test), truth)
    rows = []
    for method, values in scores.items():
        mean, error = mean_and_error(values)
        rows.append([method, f"{mean:.1%} ± {error:.1%}", f"{seconds[method]:.0f}"])
    table(["100 labels", f"accuracy, {len(test)} test images", "seconds"], rows)
    print(f"\nM2 by class (seed 0):\n{first[1]}")
    if picture is not None:
        draw_styles(first[0], test, picture, size["latent"])


def draw_styles(model: Any, like: Tensor, picture: str, latent: int) -> None:
    """One style a row, one class a column."""
    z = torch.randn(8, latent, generator=torch.Generator().manual_seed(0))
    side = math.isqrt(like[0].numel())
    with torch.no_grad():
        y = torch.eye(10).repeat(8, 1)
        p = model.likelihood(torch.cat([y, z.repeat_interleave(10, 0)], -1))
    save_grid(p.mean.reshape(8, 10, side, side), picture, "columns: class y, rows: style z")


def save_grid(images: Tensor, picture: str, title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows, columns, height, width = images.shape
    images = torch.nn.functional.pad(images, (1, 1, 1, 1), value=0.3)
    height, width = height + 2, width + 2
    sheet = images.permute(0, 2, 1, 3).reshape(rows * height, columns * width)
    figure, axes = plt.subplots(figsize=(columns * 0.6, rows * 0.6 + 0.4))
    axes.imshow(sheet, cmap="gray_r")
    axes.set_title(title, fontsize=9)
    axes.axis("off")
    figure.savefig(picture, dpi=110, bbox_inches="tight")


def cluster(picture: str | None) -> None:
    found = data.load("digits").flatten()
    train, x = black_and_white(found.train), black_and_white(found.test)
    truth = found.labels["test"]
    rows, began = [], time.perf_counter()
    for components in (10, 20):
        scores, used, bounds = [], [], []
        for seed in range(3):
            torch.manual_seed(seed)
            prior = MixtureOfNormals(8, components)
            model = clustering.Model(prior, Bernoulli(MLP(8, 64, [128])))
            guide = clustering.Guide(DiagonalNormal(MLP(64, 16, [128])), prior)
            fit_quietly(model, guide, train, epochs=150, batch_size=100, lr=3e-3, seed=seed)
            result = match_clusters(classify(guide, x, site="c", particles=16), truth)
            scores.append(result.accuracy.overall)
            used.append(float(result.used))
            bounds.append(evaluate(model, guide, x, particles=100).elbo)
        (a, ea), (u, eu), (b, eb) = map(mean_and_error, (scores, used, bounds))
        rows.append(
            [components, f"{a:.1%} ± {ea:.1%}", f"{u:.1f} ± {eu:.1f}", f"{b:.2f} ± {eb:.2f}"]
        )
    table(["clusters", "accuracy, matched", "used", "ELBO, test"], rows)
    print(f"\n{time.perf_counter() - began:.0f} seconds in all")
    if picture is not None:
        with torch.no_grad():
            z = prior().component_distribution.sample((8,))  # 8 draws from each cluster
            images = model.likelihood(z).mean.reshape(8, components, 8, 8)
        save_grid(images, picture, "columns: cluster c, rows: z drawn from p(z|c)")


def codes(picture: str | None) -> None:
    found = data.load("digits").flatten()
    x, valid, test = map(black_and_white, (found.train, found.valid, found.test))
    options: dict[str, Any] = {"batch_size": 100, "lr": 3e-3, "seed": 0}
    rows = []
    for estimator, particles in [("enumerate", 1), ("leave-one-out", 4), ("gumbel-softmax", 1)]:
        torch.manual_seed(0)
        began = time.perf_counter()
        model: Any = discrete.Model(
            [Categorical(8) for _ in range(3)], Bernoulli(MLP(24, 64, [128]))
        )
        guide: Any = discrete.Guide(MLP(64, (3, 8), [128]), estimator)
        objective = ELBO(particles=particles)
        fit_quietly(model, guide, x, objective=objective, epochs=100, **options)
        spent = time.perf_counter() - began
        report = evaluate(model, guide, test, particles=1000)
        rows.append(
            [f"3 classes of 8, {estimator}", f"{report.elbo:.2f} ± {report.elbo_stderr:.2f}",
             f"{report.nll:.2f} ± {report.nll_stderr:.2f}", f"{spent:.0f}"]
        )  # fmt: skip
    torch.manual_seed(0)
    began = time.perf_counter()
    book = Codebook(size=16, width=4, codes=8)
    likelihood, encoder = Bernoulli(MLP(32, 64, [128])), MLP(64, 32, [128])
    book.place(encoder(x), torch.Generator().manual_seed(0))
    model = vector_quantised.Model(IndependentCodes(book), likelihood)
    guide = vector_quantised.Guide(encoder, book)
    fit_quietly(model, guide, x, epochs=150, **options)
    images: list[Tensor] = []
    for name in ("independent prior", "autoregressive prior, afterwards"):
        if name != "independent prior":
            guide.requires_grad_(False)
            likelihood.requires_grad_(False)
            prior = AutoregressiveCodes(book, hidden=32)
            model = vector_quantised.Model(prior, likelihood)
            fit_quietly(model, guide, x, epochs=30, validation=valid, **options)
        spent = time.perf_counter() - began
        report = evaluate(model, guide, test, particles=1)
        rows.append(
            [f"8 vectors of 16, {name}", f"{report.elbo:.2f} ± {report.elbo_stderr:.2f}",
             "the bound is exact for q", f"{spent:.0f}"]
        )  # fmt: skip
        images.append(generate(model, test, 40, seed=0).reshape(4, 10, 8, 8))
    table(["latent", "ELBO, test", "NLL, test", "seconds"], rows)
    print("\ncodes used:", len(book.nearest(encoder(test)).unique()), "of", book.size)
    if picture is not None:
        save_grid(
            torch.cat(images), picture, "samples: independent (above), autoregressive (below)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["digits", "mnist", "clusters", "codes"])
    parser.add_argument("--picture")
    given = parser.parse_args()
    torch.set_num_threads(1)
    actions = {"clusters": cluster, "codes": codes}
    if given.what in actions:
        actions[given.what](given.picture)
    else:
        semi(given.what, given.picture)
