"""Which pictures a run gets, and of what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from cli_calls import NETS

from pyro_vae import plots
from pyro_vae.cli.folder import RunFolder
from pyro_vae.cli.prior_pictures import contours, quantiles
from pyro_vae.priors import Prior, StandardNormal

QUICK = ["--epochs", 1, "--particles", 5, *NETS]


@pytest.fixture
def unsaved(monkeypatch):
    """Pictures are drawn but not written, which takes longest."""
    import matplotlib.pyplot as plt

    def save(axes, path):
        plt.close("all")
        return path

    monkeypatch.setattr(plots, "save", save)


def names(out: str) -> list[str]:
    return [Path(line).stem for line in out.splitlines()]


@pytest.mark.parametrize(
    ("data", "latent", "expected"),
    [
        ("digits", 1, "curves kl traversals reconstructions samples"),
        ("digits", 3, "curves kl latent traversals reconstructions samples"),
        ("linear_gaussian", 1, "curves kl"),
        ("linear_gaussian", 2, "curves kl latent"),
    ],
)
def test_pictures_by_data_and_latent(command, unsaved, data, latent, expected):
    words = ["--data", data, "--limit", 40, *QUICK, "--latent", latent, "--pictures", "false"]
    command.good("train", *words, "--out", "x")
    assert not Path("x/pictures").exists()
    assert names(command.good("plot", "x").out) == expected.split()


def test_images_of_other_ranges_are_shown_from_their_least_to_their_greatest_value(
    command, unsaved, monkeypatch
):
    np.save("field.npy", np.random.default_rng(0).normal(5, 3, size=(40, 4, 6)))
    seen = {}
    monkeypatch.setattr(plots, "samples", lambda x, **options: seen.update(options) or _axes())
    command.good("train", "--data", "field.npy", *QUICK, "--out", "x")
    assert (seen["shape"], seen["vmin"], seen["vmax"]) == ((4, 6), None, None)


def test_the_dimensions_shown_are_those_that_carry_most(command, unsaved, run_folder, monkeypatch):
    seen = {}
    kl = torch.tensor([0.02, 0.7])
    monkeypatch.setattr("pyro_vae.evaluation.kl_per_dimension", lambda *_, **__: kl)

    def traversals(decode, z, *, dims, **options):
        seen["dims"] = dims.tolist()
        return _axes()

    monkeypatch.setattr(plots, "traversals", traversals)
    command.good("plot", run_folder)
    assert seen["dims"] == [1, 0]
    kl[0] = 0.001
    command.good("plot", run_folder)
    assert seen["dims"] == [1]


def _axes():
    import matplotlib.pyplot as plt

    return plt.figure().subplots()


def test_pictures_of_a_sorted_set_show_every_class(trained):
    built = RunFolder(trained).open((), "cpu")
    n = 200
    labels = torch.arange(n) // (n // 10)
    x = labels[:, None].float().expand(n, 64) / 9  # each image tells its class
    known = {**(built.dataset.labels or {}), "test": labels}
    others = {**built.others, "test": tuple(x[: len(o)] for o in built.others["test"])}
    grown = replace(built, dataset=replace(built.dataset, test=x, labels=known), others=others)
    view = grown.view(limit=50, shuffled=True)
    assert view.labels is not None and view.labels.unique().tolist() == list(range(10))
    torch.testing.assert_close((9 * view.x[:, 0]).round().long(), view.labels)
    assert torch.equal(grown.view(limit=50, shuffled=True).x, view.x)
    assert torch.equal(grown.view(limit=50).x, x[:50])


class Wide(Prior):
    def forward(self):
        return dist.Normal(torch.zeros(2), 2.0).to_event(1)


class Correlated(Prior):
    def forward(self):
        return dist.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))


def test_quantiles_are_those_of_a_prior_that_factorises():
    probability = torch.tensor([[0.1, 0.5], [0.9, 0.5]])
    normal = quantiles(StandardNormal(2))
    wide = quantiles(Wide())
    assert normal is not None and wide is not None
    torch.testing.assert_close(wide(probability), 2 * normal(probability))
    assert quantiles(Correlated()) is None
    assert quantiles(StandardNormal(3)) is None


def test_contours_are_those_of_the_prior_where_they_can_be():
    assert contours(StandardNormal(7), 7) == {}
    z = torch.tensor([[0.3, -1.0]])
    density = contours(Correlated(), 2)["prior_log_prob"](z)
    torch.testing.assert_close(density, Correlated()().log_prob(z))
    assert contours(Wide(), 5) == {"levels": ()}
