"""Wherever a closed form of KL(q(z|x) || p(z)) is registered, it is the mean of samples."""

from __future__ import annotations

import math

import pyro
import pytest
import torch
from swap.swap_parts import BATCH, PAIRS, build, compose
from torch.distributions import kl_divergence

from pyro_vae.terms import site_terms

#: Samples for each of the examples; the error allowed, in standard errors of their mean. Of 200
#: means, one that is right is further off once in 2.5 million runs.
SAMPLES, SIGMA = 20_000, 6.0


def closed_form(prior: str, posterior: str) -> bool:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        programs = build(prior, posterior)
        try:
            kl_divergence(programs.guide.posterior(*programs.args), programs.model.prior())
        except NotImplementedError:
            return False
        return True


CLOSED = [pair for pair in PAIRS if compose(*pair) and closed_form(*pair)]


def test_there_are_closed_forms_on_more_than_one_space():
    assert {
        ("StandardNormal", "DiagonalNormal"),
        ("StandardNormal", "LowRankNormal"),
        ("LearnedNormal", "FullCovarianceNormal"),
        ("Laplace", "Laplace"),
        ("Dirichlet", "Dirichlet"),
        ("Categorical", "my OneHot"),
    } <= set(CLOSED)


@pytest.mark.parametrize(("prior", "posterior"), CLOSED)
def test_sampled_and_analytic_agree(prior, posterior):
    programs = build(prior, posterior).double()
    pyro.set_rng_seed(2)
    with torch.no_grad():
        terms = site_terms(programs.model, programs.guide, *programs.args, particles=SAMPLES)
        site = terms["z"]
        sampled, analytic = site.log_q - site.log_p, site.kl
    assert sampled.shape == analytic.shape == (SAMPLES, BATCH)
    analytic = analytic[0]
    error = SIGMA * sampled.std(0) / math.sqrt(SAMPLES) + 1e-9
    assert (error < 0.15 * (1 + analytic)).all(), "the test could not tell"
    assert ((sampled.mean(0) - analytic).abs() < error).all()
