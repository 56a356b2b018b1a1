"""Mutual information of x and z under q, against numerical integration."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.terms import ProgramError, site_terms
from pyro_vae.terms.information import cross_log_q, first_latent, mutual_information


def _programs(scale, dims=1):
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(dims), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x, scale).to_event(1))

    return model, guide


def test_posteriors_apart_tell_every_example_and_equal_ones_none():
    x = torch.arange(8.0, dtype=torch.float64).unsqueeze(-1)
    apart = mutual_information(site_terms(*_programs(1e-3), x))
    assert float(apart) == pytest.approx(math.log(8), abs=1e-12)
    same = mutual_information(site_terms(*_programs(1.0), torch.zeros(8, 1, dtype=torch.float64)))
    assert float(same) == pytest.approx(0.0, abs=1e-12)


def test_it_is_the_information_about_the_index_by_integration():
    torch.manual_seed(0)
    x = torch.tensor([[-1.0], [0.5], [2.0]], dtype=torch.float64)
    particles = 20_000
    terms = site_terms(*_programs(1.0), x, particles=particles)
    grid = torch.linspace(-9, 10, 20_001, dtype=torch.float64)
    each = torch.distributions.Normal(x, 1.0).log_prob(grid)
    mean = torch.logsumexp(each, 0) - math.log(3)
    exact = torch.trapezoid(each.exp() * (each - mean), grid).mean()
    cross = cross_log_q(terms, terms["z"])
    assert cross.shape == (particles, 3, 3)
    own = cross.diagonal(dim1=-2, dim2=-1) - torch.logsumexp(cross, -1) + math.log(3)
    error = own.mean(-1).std() / particles**0.5
    # 5 standard errors: a false alarm once in two million seeds.
    assert abs(float(mutual_information(terms) - exact)) < 5 * float(error)
    assert float(error) < 0.01


def test_the_pairs_are_draw_i_under_posterior_j():
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0], [5.0, 5.0]], dtype=torch.float64)
    terms = site_terms(*_programs(0.7, dims=2), x, particles=2)
    cross = cross_log_q(terms, terms["z"])
    z = terms["z"].value
    for k in range(2):
        for i in range(3):
            for j in range(3):
                expected = torch.distributions.Normal(x[j], 0.7).log_prob(z[k, i]).sum()
                assert float(cross[k, i, j]) == pytest.approx(float(expected), abs=1e-12)
    looped = site_terms(*_programs(0.7, dims=2), x, particles=2, vectorize=False)
    assert cross_log_q(looped, looped["z"]).shape == (2, 3, 3)


def test_the_first_latent_is_the_guides_first():
    def model(x):
        with pyro.plate("data", len(x)):
            z2 = pyro.sample("z2", dist.Normal(0.0, 1.0))
            z1 = pyro.sample("z1", dist.Normal(z2, 1.0))
            pyro.sample("x", dist.Normal(z1, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Normal(x, 1.0))
            pyro.sample("z2", dist.Normal(z1, 1.0))

    assert first_latent(site_terms(model, guide, torch.zeros(3))).name == "z1"


def test_a_site_that_all_share_is_refused():
    def model(x):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        pyro.sample("z", dist.Normal(0.0, 1.0))

    terms = site_terms(model, guide, torch.zeros(3))
    with pytest.raises(ProgramError, match="the guide draws no latent for each example"):
        mutual_information(terms)
    with pytest.raises(ProgramError, match="'z' has no one posterior for each example"):
        cross_log_q(terms, terms["z"])
