"""The page on which a run's latent space is explored."""

from __future__ import annotations

from pathlib import Path

import pyro.distributions as dist
import pytest
import torch
from cli_calls import NETS

from pyro_vae import priors
from pyro_vae.cli.plane import DRAWS, TAIL, plane

ORIGIN = torch.zeros(1, 2)


def test_a_run_with_two_latent_dimensions_leaves_the_page(command):
    words = ["--limit", 40, "--epochs", 1, "--particles", 5, *NETS]
    command.good("train", *words, "--prior", "MixtureOfNormals", "--out", "x")
    page = Path("x/pictures/explorer.html").read_text("utf-8")
    assert "25 × 25 points" in page and "Dots are 40 encoded examples" in page
    assert '"names":["0","1","2"' in page and '"height":8,"width":8' in page


def test_the_plane_holds_the_prior_and_the_codes():
    reach = dist.Normal(0.0, 1.0).icdf(torch.tensor(1 - TAIL)).item()
    prior = priors.StandardNormal(2)
    (a, b), (c, d) = plane(prior, torch.tensor([[5.0, 0.0], [0.0, -6.0]])) or ((0, 0), (0, 0))
    assert (a, b, c, d) == pytest.approx((-reach, 5.0, -6.0, reach), abs=1e-5)
    assert plane(priors.Uniform(2, low=-2.0, high=2.0), ORIGIN) == ((-1.996, 1.996),) * 2


def test_a_prior_without_quantiles_is_drawn_from_and_the_draws_leave_no_trace():
    prior = priors.MixtureOfNormals(2, components=3)
    before = torch.get_rng_state()
    found = plane(prior, ORIGIN)
    assert found is not None and found == plane(prior, ORIGIN)
    assert torch.equal(before, torch.get_rng_state())
    z = prior().sample((DRAWS,))
    inside = [(low <= z[:, k]) & (z[:, k] <= high) for k, (low, high) in enumerate(found)]
    # Of 2000 draws the extremes leave out 1/2001 of the next on each of four sides.
    assert (inside[0] & inside[1]).float().mean() > 0.99


@pytest.mark.parametrize(
    ("prior", "codes"),
    [
        (priors.StandardNormal(3), torch.zeros(1, 3)),
        (priors.Dirichlet(2), torch.full((1, 2), 0.5)),
        (torch.nn.Linear(2, 2), ORIGIN),  # of a context
        (None, ORIGIN),
    ],
)
def test_where_there_is_no_plane_there_is_no_page(prior, codes):
    assert plane(prior, codes) is None
