"""Classes from ten labels of each: what the images without a label are worth.

``python tests/benchmarks/few_labels.py digits`` (or ``mnist``, with PYRO_VAE_DATA set) prints a
Markdown table of the accuracy on all test images, over seeds, of a network taught by the labelled
images alone, of M1 (a network on a VAE's z), of M1 + M2 and of M2. Pixels are cut at a half. Each
seed has its own labelled images; all methods see the same.

Kingma, Rezende, Mohamed and Welling 2014, *Semi-supervised Learning with Deep Generative Models*.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import torch
from pictures import rows
from tables import mean_and_error, table
from torch import Tensor

from pyro_vae import data, fit
from pyro_vae.evaluation import accuracy, classify, decode, encode
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import SiteBetaELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import Categorical, StandardNormal
from pyro_vae.programs import semi_supervised, vae
from pyro_vae.schedules import Linear

fit_quietly = partial(fit, progress=False)

#: Epochs of M1 and of M2 on its codes; of M2 on images.
EPOCHS = {"digits": (60, 60), "mnist": (5, 20)}
#: By what y's gradient is estimated: the sum over classes decodes each image ten times.
ESTIMATORS = {"digits": ["enumerate", "gumbel-softmax"], "mnist": ["gumbel-softmax"]}
#: The weight of the style's KL at the start, falling to 1 in the first four fifths of M2's epochs.
#: While z is dear, what the classes have in common must go through y.
BETA = {"digits": 1.0, "mnist": 4.0}
#: Hidden units, latents of M1 and of M2, batch size.
SIZES = {"digits": (128, 8, 8, 100), "mnist": (300, 32, 10, 250)}
AUXILIARY = 60.0  # N / (10 N_labelled) of all of MNIST, as in the paper


def few_labels(labels: Tensor, each: int, seed: int) -> Tensor:
    """``each`` labels of every class, chosen at random; the others -1."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    told = torch.full_like(labels, -1)
    for k in labels.unique():
        chosen = order[labels[order] == k][:each]
        told[chosen] = k
    return told


def repeated(told: Tensor, share: float = 0.05) -> Tensor:
    """All rows, the labelled ones as often as makes them this share: else few batches have any."""
    labelled = (told >= 0).nonzero().squeeze(1)
    times = max(1, round(share * len(told) / len(labelled)))
    return torch.cat([torch.arange(len(told)), labelled.repeat(times - 1)])


def m2(
    x: Tensor, told: Tensor, seed: int, hidden: int, latent: int, estimator: str = "enumerate",
    likelihood: type = Bernoulli, beta: float = 1.0, epochs: int = 60, **options: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """M2 of x (binary, or codes with a Normal likelihood) and a few labels."""
    torch.manual_seed(seed)
    size = x.shape[1]
    net = MLP(10 + latent, size, [hidden])
    model = semi_supervised.Model(Categorical(10), StandardNormal(latent), likelihood(net))
    guide = semi_supervised.Guide(
        MLP(size, 10, [hidden]), DiagonalNormal(MLP(size + 10, 2 * latent, [hidden])),
        auxiliary=AUXILIARY, estimator=estimator,
    )  # fmt: skip
    falling = SiteBetaELBO({"z": Linear(0.8 * epochs, beta, 1.0, unit="epoch")})
    fit_quietly(model, guide, (x, told), objective=falling, seed=seed, epochs=epochs, **options)
    return model, guide


def classifier_alone(x: Tensor, told: Tensor, seed: int, hidden: int) -> torch.nn.Module:
    """The same network, taught by the labelled rows alone."""
    torch.manual_seed(seed)
    net = MLP(x.shape[1], 10, [hidden])
    kept = told >= 0
    optimizer = torch.optim.Adam(net.parameters(), 2e-3, weight_decay=1e-4)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[kept]), told[kept]).backward()
        optimizer.step()
    return net


def codes(x: Tensor, others: Tensor, seed: int, hidden: int, latent: int, **options: Any) -> Any:
    """M1: the posterior means of a VAE without labels, of x and of others, standardised by x's."""
    torch.manual_seed(seed)
    model = vae.Model(StandardNormal(latent), Bernoulli(MLP(latent, x.shape[1], [hidden])))
    guide = vae.Guide(DiagonalNormal(MLP(x.shape[1], 2 * latent, [hidden])))
    fit_quietly(model, guide, x, seed=seed, **options)
    with torch.no_grad():
        z, z_others = encode(guide, x).mean, encode(guide, others).mean
    middle, spread = z.mean(0), z.std()
    return (z - middle) / spread, (z_others - middle) / spread


def main() -> None:
    """Train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", choices=list(EPOCHS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", help="draw the classes in several styles into this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = data.load(given.data)
    x, labels = (found.train > 0.5).float(), found.labels["train"]
    test, truth = (found.test > 0.5).float(), found.labels["test"]
    hidden, latent, style, batch_size = SIZES[given.data]
    on_codes, on_images = EPOCHS[given.data]
    options: dict[str, Any] = {"batch_size": batch_size, "lr": 3e-3}
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}

    def score(method: str, began: float, probabilities: Tensor) -> None:
        scores.setdefault(method, []).append(accuracy(probabilities, truth).overall)
        seconds[method] = time.process_time() - began
        print(f"# {method} {scores[method][-1]:.1%} {seconds[method]:.0f} s", flush=True)

    for seed in range(given.seeds):
        told = few_labels(labels, 10, seed)
        began = time.process_time()
        net = classifier_alone(x, told, seed, hidden)
        score("the labelled alone", began, net(test).softmax(-1).detach())
        began = time.process_time()
        z, z_test = codes(x, test, seed, hidden, latent, epochs=on_codes, **options)
        net = classifier_alone(z, told, seed, hidden)
        score("M1", began, net(z_test).softmax(-1).detach())
        order = repeated(told)
        z, y = z[order], told[order]
        _, guide = m2(z, y, seed, hidden, style, likelihood=Normal, epochs=on_codes, **options)
        score("M1 + M2", began, classify(guide, z_test))
        for estimator in ESTIMATORS[given.data]:
            began = time.process_time()
            inputs = x[order], y, seed, hidden, style, estimator
            beta = BETA[given.data]
            model, guide = m2(*inputs, beta=beta, epochs=on_images, **options)
            score(f"M2, {estimator}", began, classify(guide, test))
            if given.picture is not None and seed == 0 and estimator == ESTIMATORS[given.data][0]:
                draw(given.picture, model, test, style)
    table(
        ["100 labels", "accuracy", "CPU s"],
        [[name, mean_and_error(all_, ".1%"), f"{seconds[name]:.0f}"]
         for name, all_ in scores.items()],
    )  # fmt: skip


def draw(path: str, model: Any, like: Tensor, latent: int) -> None:
    """One style a row, one class a column."""
    z = torch.randn(6, latent, generator=torch.Generator().manual_seed(0))

    y = torch.eye(10)
    images = {
        f"style {number}": decode(model, like, {"y": y, "z": style.expand(10, -1)})
        for number, style in enumerate(z, 1)
    }
    rows(images, path, columns=[f"y = {k}" for k in range(10)], cmap="gray_r")


if __name__ == "__main__":
    main()
