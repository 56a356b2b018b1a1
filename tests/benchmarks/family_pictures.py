"""Pictures of families that no other benchmark draws.

``python tests/benchmarks/family_pictures.py classes|layers|missing|not_at_random FILE`` trains on
data that come with scikit-learn, within a minute, and draws: digits of chosen classes; digits of
which the top latent is kept; digits of which half is hidden, completed in several ways; and what a
table's high values, which went missing because they are high, are taken for. The last one also
prints a Markdown table.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from missing_data import table as tumours
from pictures import one_of_each, rows, small
from tables import table
from torch import Tensor

from pyro_vae import data, fit, plots
from pyro_vae.evaluation import generate, impute, multiple_imputations, redraw
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import BetaELBO, ImportanceWeightedELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, conditional, hierarchical, missing, not_at_random
from pyro_vae.schedules import Linear

fit_quietly = partial(fit, progress=False)


def classes(path: str) -> None:
    """A conditional VAE of the digits given their labels: a column for each label."""
    digits = data.load("digits").binarized()
    likelihood = Bernoulli(MLP(8 + 10, 64, [200]))
    model = conditional.Model(StandardNormal(8), likelihood, classes=10)
    guide = conditional.Guide(DiagonalNormal(MLP(64 + 10, 2 * 8, [200])), classes=10)
    labels = digits.labels["train"]
    fit_quietly(model, guide, (digits.train, labels), transform=digits.transform, epochs=100)
    y = torch.arange(10).repeat(6)
    made = generate(model, digits.test, len(y), y).split(10)
    images = {"real": one_of_each(data.load("digits").test, digits.labels["test"])}
    images |= {f"sample {number}": row for number, row in enumerate(made, 1)}
    rows(images, path, columns=[f"y = {k}" for k in range(10)], cmap="gray_r")


def layers(path: str) -> None:
    """Digits whose top latent is kept and whose lower one is drawn anew."""
    digits = data.load("digits")
    model = hierarchical.Model(
        StandardNormal(4), [DiagonalNormal(MLP(4, 2 * 8, [100]))], Bernoulli(MLP(8, 64, [200]))
    )
    guide = hierarchical.Guide(
        [DiagonalNormal(MLP(64, 2 * 8, [200])), DiagonalNormal(MLP(8, 2 * 4, [100]))]
    )
    x, test = (digits.train > 0.5).float(), (digits.test > 0.5).float()
    fit_quietly(model, guide, x, objective=BetaELBO(Linear(400)), epochs=120)
    shown = one_of_each(test, digits.labels["test"])
    images = {"data": shown}
    draws = redraw(model, guide, shown, keep=["z2"], draws=4)
    images |= {f"z2 kept, draw {number}": draw for number, draw in enumerate(draws, 1)}
    images["z2, z1 kept"] = redraw(model, guide, shown, keep=["z2", "z1"], draws=1)[0]
    rows(images, path, cmap="gray_r")


def halves(path: str) -> None:
    """Digits without their right halves, by programs that never saw a whole digit."""
    digits = data.load("digits")
    x, test = (digits.train > 0.5).float(), (digits.test > 0.5).float()
    mask = torch.rand(x.shape) < 0.5
    model = missing.Model(StandardNormal(8), Bernoulli(MLP(8, 64, [200])))
    guide = missing.Guide(DiagonalNormal(MLP(2 * 64, 2 * 8, [200])), append_mask=True)
    fit_quietly(model, guide, (x, mask), objective=ImportanceWeightedELBO(10), epochs=150)
    shown = one_of_each(test, digits.labels["test"])
    left = torch.arange(64).remainder(8) < 4
    seen = left.expand_as(shown)
    copies = multiple_imputations(model, guide, shown, seen, draws=4, particles=5000)
    images = {"known": shown.masked_fill(~seen, torch.nan)}
    images |= {f"imputation {number}": copy for number, copy in enumerate(copies, 1)}
    images["their mean"] = impute(model, guide, shown, seen, particles=5000)
    rows({**images, "truth": shown}, path, cmap="gray_r")


def high_values(path: str) -> None:
    """Half of the columns of a table, where values above the mean went missing."""
    x = tumours()
    hiding = torch.arange(x.shape[1]) % 2 == 0
    mask = ~((x > 0) & hiding)
    latent, width, hidden = 5, x.shape[1], [64]
    found: dict[str, Tensor] = {"mean of what is known": means(x, mask)}
    for name in ("missing", "not_at_random"):
        torch.manual_seed(0)
        outputs = Normal.outputs((width,), scale="per-dimension")
        likelihood = Normal(MLP(latent, outputs, hidden), scale="per-dimension")
        posterior = DiagonalNormal(MLP(width, 2 * latent, hidden))
        if name == "missing":
            programs = VAE(
                missing.Model(StandardNormal(latent), likelihood), missing.Guide(posterior)
            )
        else:
            known = not_at_random.SelfMasking(width, width, missing="high")
            model = not_at_random.Model(StandardNormal(latent), likelihood, known)
            programs = VAE(model, not_at_random.Guide(posterior, likelihood))
        fit_quietly(
            *programs, (x, mask), objective=ImportanceWeightedELBO(20), epochs=150, batch_size=32,
            lr=1e-3,
        )  # fmt: skip
        found[f"`{name}`"] = impute(*programs, x, mask, particles=5000)
    gone = ~mask
    lines = [
        [name, f"{y[gone].mean():.2f}", f"{(y - x)[gone].square().mean():.3f}"]
        for name, y in {**found, "truth": x}.items()
    ]
    table(["imputed by", "mean of the imputed", "MSE"], lines)
    scatter(path, x[gone], {name.strip("`"): y[gone] for name, y in found.items()})


def means(x: Tensor, mask: Tensor) -> Tensor:
    return x.where(mask, x.masked_fill(~mask, torch.nan).nanmean(0))


def scatter(path: str, truth: Tensor, found: dict[str, Tensor]) -> None:
    """True against imputed values, a panel for each way."""
    import matplotlib.pyplot as plt

    chosen = {name: found[name] for name in ("missing", "not_at_random")}
    _, axes = plt.subplots(1, len(chosen), figsize=(8, 4), layout="constrained", sharey=True)
    limits = (-2.0, 4.0)
    for ax, (name, y) in zip(axes, chosen.items(), strict=True):
        ax.plot(limits, limits, color="0.5", lw=1)
        ax.scatter(truth, y, s=5, alpha=0.25, linewidths=0, color="#0072B2")
        ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel="true value, which went missing")
        ax.set_title(f"programs.{name}: mean {y.mean():.2f}", fontsize="medium")
    axes[0].set_ylabel(f"imputed value (the truth has mean {truth.mean():.2f})")
    small(plots.save(list(axes), path, dpi=100))


def main() -> None:
    """Train and draw."""
    actions: dict[str, Any] = {
        "classes": classes, "layers": layers, "missing": halves, "not_at_random": high_values,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("family", choices=list(actions))
    parser.add_argument("file")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    actions[given.family](given.file)


if __name__ == "__main__":
    main()
