"""The normal whose scale is the running mean squared error."""

from __future__ import annotations

import math

import pyro
import pytest
import torch

from pyro_vae.checks import check
from pyro_vae.evaluation import evaluate
from pyro_vae.likelihoods import Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

Z = torch.zeros(50, 2)


@pytest.fixture
def part(make):
    return make("Normal", torch.zeros(3), scale="optimal", initial=2.0)


def data(scale: float, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(50, 3, generator=torch.Generator().manual_seed(seed))


def scale(part) -> float:
    return part.log_scale.exp().item()


def test_a_batch_is_scored_before_it_counts(part):
    x = data(0.1)
    found = part(Z).log_prob(x)
    expected = torch.distributions.Normal(0.0, 2.0).log_prob(x).sum(-1)
    torch.testing.assert_close(found, expected)
    # The first batch replaces the initial scale, the second makes it a mean of two.
    first, second = x.square().mean(), data(0.3, 1).square().mean()
    assert scale(part) == pytest.approx(first.sqrt().item(), rel=1e-5)
    part(Z).log_prob(data(0.3, 1))
    assert scale(part) == pytest.approx(((first + second) / 2).sqrt().item(), rel=1e-5)


def test_it_forgets_where_it_came_from(part):
    part(Z).log_prob(data(100.0))
    for step in range(250):
        part(Z).log_prob(data(0.5, step))
    # The first weighs 0.1 * 0.9^240 by now, and the last 20 batches of 150 have 1.3% of noise.
    assert scale(part) == pytest.approx(0.5, rel=0.05)


def test_only_training_counts(part):
    p = part.eval()(Z)
    p.log_prob(data(0.1))
    part.train()
    with torch.no_grad():
        part(Z).log_prob(data(0.1))
    part(Z).sample()
    assert scale(part) == pytest.approx(2.0) and part.batches == 0


def test_masked_entries_do_not_count(part):
    x, mask = data(0.1), torch.zeros(50, 3, dtype=torch.bool)
    part(Z, mask).log_prob(x)
    assert scale(part) == pytest.approx(2.0) and part.batches == 0
    mask[:20, 1] = True
    part(Z.expand(4, 50, 2), mask).log_prob(torch.where(mask, x, math.nan))
    assert scale(part) == pytest.approx(x[:20, 1].square().mean().sqrt().item(), rel=1e-5)


def test_perfect_means_leave_a_finite_density(part):
    for _ in range(3):
        found = part(Z).log_prob(torch.zeros(50, 3))
    assert scale(part) > 0 and found.isfinite().all()


def test_it_is_the_optimum_that_the_gradient_seeks():
    torch.manual_seed(0)
    x = torch.randn(200, 2) @ torch.randn(2, 5) + 0.2 * torch.randn(200, 5)
    scales = {}
    for option in ("optimal", "shared"):
        torch.manual_seed(1)
        part = Normal(MLP(2, 5, hidden=[]), scale=option)
        model = vae.Model(StandardNormal(2), part)
        guide = vae.Guide(DiagonalNormal(MLP(5, 4, hidden=[])))
        assert check(model, guide, x).problems == []
        assert scale(part) == pytest.approx(1.0)
        optimizer = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=0.02)
        for _ in range(300):
            optimizer.zero_grad()
            with pyro.validation_enabled(False):
                (ELBO().differentiable_loss(model, guide, x) / len(x)).backward()
            optimizer.step()
        scales[option] = scale(part)
        before = part.log_scale.clone()
        report = evaluate(model, guide, x, particles=5)
        assert math.isfinite(report.elbo) and torch.equal(part.log_scale, before)
    # Both estimate the same noise from 1,000 residuals: 2% each, and both still move.
    assert scales["optimal"] == pytest.approx(scales["shared"], rel=0.1)
    assert scales["optimal"] == pytest.approx(0.2, rel=0.15)


def test_it_survives_saving(part, make):
    part(Z).log_prob(data(0.1))
    other = make("Normal", torch.zeros(3), scale="optimal")
    other.load_state_dict(part.state_dict())
    for p in (part, other):
        p(Z).log_prob(data(0.3, 1))
    assert torch.equal(part.log_scale, other.log_scale)


def test_stock_svi_counts_each_step_once(part):
    model = vae.Model(StandardNormal(2), part)
    guide = vae.Guide(DiagonalNormal(MLP(3, 4)))
    loss = pyro.infer.Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss)
    for _ in range(4):
        svi.step(data(0.1))
    assert part.batches == 4
