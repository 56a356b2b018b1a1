"""What the pages on how to choose say is so, and they leave nothing out."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import torch
from torch.distributions import kl_divergence

from pyro_vae import posteriors, priors
from pyro_vae.networks import MLP

PAGES = Path(__file__).parents[2] / "docs" / "choose"
BASES = {"Prior", "Posterior", "Objective"}


@pytest.mark.parametrize(
    ("page", "folder"), [("prior", "priors"), ("guide", "posteriors"), ("objective", "objectives")]
)
def test_every_part_has_a_row(page, folder):
    offered = importlib.import_module(f"pyro_vae.{folder}")
    classes = {name for name in offered.__all__ if isinstance(getattr(offered, name), type)}
    base = next(getattr(offered, name) for name in classes & BASES)
    parts = {name for name in classes - BASES if issubclass(getattr(offered, name), base)}
    named = set(re.findall(r"pyro_vae\.(\w+\.\w+)", (PAGES / f"{page}.md").read_text("utf-8")))
    assert len(parts) > 9 and {f"{folder}.{name}" for name in parts} <= named


LATENT = 3
OUTPUTS = {
    "DiagonalNormal": 6,
    "CommittedNormal": 6,
    "FullCovarianceNormal": 9,
    "LowRankNormal": 12,
    "Laplace": 6,
    "StudentT": 9,
    "MixtureOfNormals": 5 * 7,
    "Dirichlet": 3,
}
FLOWS = ("Householder", "Planar", "Sylvester", "InverseAutoregressive", "Spline")


def guides():
    for name, size in OUTPUTS.items():
        yield name, getattr(posteriors, name)(MLP(2, size, [4]))
    for name in FLOWS:
        kind = getattr(posteriors, name)
        yield name, kind(MLP(2, kind.outputs(LATENT), [4]), latent=LATENT)


def known_pairs():
    """Those of which the page says that the KL has a closed form."""
    text = (PAGES / "guide.md").read_text("utf-8")
    table = text.split("## Where the KL has a closed form")[1].split("##")[0]
    for line in table.splitlines():
        cells = [re.findall(r"`(\w+)`", cell) for cell in line.split("|")[1:-1]]
        if len(cells) == 2:
            yield from ((prior, guide) for prior in cells[0] for guide in cells[1])


def test_the_kl_has_a_closed_form_where_the_page_says_so_and_nowhere_else():
    torch.manual_seed(0)
    found, x = set(), torch.rand(5, 2)
    for prior in set(priors.__all__) - {"Prior", "VampPrior", "Uniform"}:
        p = getattr(priors, prior)(LATENT)()
        for guide, q in guides():
            try:
                kl_divergence(q(x), p)
            except NotImplementedError:
                continue
            found.add((prior, guide))
    assert found == set(known_pairs()) and len(found) > 9
