"""The parts of the KL against loops over the definition, and against a Gaussian's exact ones."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from penalty_programs import Toy, loss_of, normal, points
from torch.distributions import Normal

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.total_correlation import (
    TotalCorrelationELBO,
    log_densities,
    log_weights,
)
from pyro_vae.schedules import Linear
from pyro_vae.terms import ProgramError


def by_hand(toy: Toy, x: torch.Tensor, z: torch.Tensor, examples: int, sampling: str):
    """Mutual information, total correlation and the KL of the dimensions, in plain loops."""
    q, batch, latent = toy.q(x).base_dist, len(x), z.shape[-1]

    def weight(i: int, j: int) -> float:
        if sampling == "weighted":
            return 1 / (examples * batch)
        return 1 / examples if i == j else (examples - 1) / (examples * (batch - 1))

    def density(i: int, j: int, d: int) -> float:
        return Normal(q.loc[j, d], q.scale[j, d]).log_prob(z[i, d]).exp().item()

    totals = [0.0, 0.0, 0.0]
    for i in range(batch):
        own = math.prod(density(i, i, d) for d in range(latent))
        joint = sum(
            weight(i, j) * math.prod(density(i, j, d) for d in range(latent)) for j in range(batch)
        )
        each = [sum(weight(i, j) * density(i, j, d) for j in range(batch)) for d in range(latent)]
        prior = sum(normal(latent).base_dist.log_prob(z[i])).item()
        totals[0] += math.log(own) - math.log(joint)
        totals[1] += math.log(joint) - sum(map(math.log, each))
        totals[2] += sum(map(math.log, each)) - prior
    return [total / batch for total in totals]


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
@pytest.mark.parametrize("examples", [6, 60])
def test_each_part_is_its_definition(sampling, examples):
    toy, x = Toy(), points()

    def loss(*weights):
        objective = TotalCorrelationELBO(*weights, examples=examples, sampling=sampling)
        return loss_of(objective, toy, x).item()

    pyro.set_rng_seed(3)
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", toy.q(x))
    expected = by_hand(toy, x, z, examples, sampling)
    none = loss(0.0, 0.0, 0.0)
    for i, part in enumerate(expected):
        weights = [0.0, 0.0, 0.0]
        weights[i] = 2.0
        assert (loss(*weights) - none) / 6 == pytest.approx(2.0 * part, rel=1e-10)


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
@pytest.mark.parametrize("options", [{}, {"particles": 3}, {"particles": 3, "vectorize": False}])
def test_with_weights_of_one_it_is_the_elbo(sampling, options):
    toy, x = Toy(), points()
    ours = TotalCorrelationELBO(1.0, 1.0, 1.0, examples=60, sampling=sampling, **options)
    expected = loss_of(ELBO("sampled", **options), toy, x).item()
    assert loss_of(ours, toy, x).item() == pytest.approx(expected, rel=1e-12)


def test_densities_of_every_draw_under_every_posterior():
    toy, x = Toy(), points()
    for particles, vectorize in ((1, True), (3, True), (3, False)):
        objective = TotalCorrelationELBO(examples=60, particles=particles, vectorize=vectorize)
        terms = objective.terms(toy.model, toy.guide, x)
        found = log_densities(terms, terms["z"])
        assert found.shape == (particles, 6, 6, 2)
        own = found.diagonal(dim1=1, dim2=2).sum(-2)
        torch.testing.assert_close(own, terms["z"].log_q)
        q = toy.q(x).base_dist
        z = torch.cat([g.nodes["z"]["value"].reshape(-1, 6, 2) for _, g in terms.traces])
        there = Normal(q.loc[4], q.scale[4]).log_prob(z[-1, 1])
        torch.testing.assert_close(found[-1, 1, 4], there)


def test_the_data_plate_may_have_any_dimension():
    x = points()

    def wide(x):
        with pyro.plate("data", len(x), dim=-2):
            pyro.sample("z", dist.Normal(x[:, None, :2], 0.5).to_event(1))

    def wide_model(x):
        with pyro.plate("data", len(x), dim=-2):
            z = pyro.sample("z", normal(2))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x[:, None, :2])

    def flat(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x[:, :2], 0.5).to_event(1))

    def flat_model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", normal(2))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x[:, :2])

    objective = TotalCorrelationELBO(examples=60, particles=2)
    losses = []
    for pair in ((wide_model, wide), (flat_model, flat)):
        pyro.set_rng_seed(0)
        losses.append(objective.loss(*pair, x))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize(("batch", "examples"), [(2, 2), (4, 10), (5, 5)])
def test_stratified_weights_are_those_of_an_unbiased_estimate(batch, examples):
    """The mean over all mini-batches with example 0 in them is the mean over all examples."""
    weights = log_weights(batch, examples, "stratified", torch.zeros((), dtype=torch.float64)).exp()
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch, dtype=torch.float64))
    # Each of the others is in the batch with probability (batch - 1) / (examples - 1).
    assert weights[0, 0].item() == pytest.approx(1 / examples)
    share = weights[0, 1].item() * (batch - 1) / (examples - 1)
    assert share == pytest.approx(1 / examples)


def test_the_total_correlation_of_a_known_gaussian():
    """x ~ N(0, C) and q(z|x) = N(x, s^2) make q(z) = N(0, C + s^2), whose parts are exact."""
    n, s = 1500, 0.6
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(100)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    x = noise @ torch.linalg.cholesky(covariance).T

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", normal(2))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x, x.new_tensor(s)).to_event(1))

    aggregate = covariance + s**2 * torch.eye(2, dtype=torch.float64)
    own, log_det = aggregate.diagonal(), torch.logdet(aggregate)
    exact = {
        "alpha": 0.5 * (log_det - 2 * math.log(s**2)),
        "beta": 0.5 * (own.log().sum() - log_det),
        "gamma": 0.5 * (own - 1 - own.log()).sum(),
    }
    zero = {"alpha": 0.0, "beta": 0.0, "gamma": 0.0}

    def parts(batch, **options):
        losses = []
        for name in (None, *exact):
            pyro.set_rng_seed(0)
            weights = zero if name is None else {**zero, name: 1.0}
            objective = TotalCorrelationELBO(**weights, **options)
            losses.append(objective.loss(model, guide, batch) / len(batch))
        return [loss - losses[0] for loss in losses[1:]]

    assert float(exact["beta"]) > 0.2
    # The parts are means of logarithms whose spread is about 0.9 nats: 0.023 for 1500 draws, and
    # as much again for the 1500 x that stand for their normal.
    for found, value in zip(parts(x, examples=n), exact.values(), strict=True):
        assert found == pytest.approx(value.item(), abs=0.11)
    # A fifth of them: 0.07, and the logarithm of a mean over 300 is low by less than its variance.
    for found, value in zip(parts(x[:300], examples=n), exact.values(), strict=True):
        assert found == pytest.approx(value.item(), abs=0.25)
    # Weighted sampling is as the paper has it: too small a density, by the batch's size.
    for found, value, times in zip(
        parts(x, examples=n, sampling="weighted"), exact.values(), (1, 1, -2), strict=True
    ):
        assert found == pytest.approx(value.item() + times * math.log(n), abs=0.11)


def test_the_number_of_examples():
    x = points()
    with pytest.raises(ProgramError, match=r"how many examples .* examples=len\(data\)"):
        loss_of(TotalCorrelationELBO(), Toy(), x)
    # As fit does it.
    objective = TotalCorrelationELBO()
    objective.examples = 60
    expected = loss_of(TotalCorrelationELBO(examples=60), Toy(), x).item()
    pyro.clear_param_store()
    assert loss_of(objective, Toy(), x).item() == pytest.approx(expected, rel=1e-12)
    pyro.clear_param_store()
    # And a plate that is subsampled knows it.
    known = loss_of(TotalCorrelationELBO(), Toy(total=60), x).item()
    assert known == pytest.approx(10 * expected, rel=1e-12)
    with pytest.raises(ProgramError, match=r"examples=5\) has a mini-batch of 6"):
        loss_of(TotalCorrelationELBO(examples=5), Toy(), x)


def test_posteriors_that_do_not_factorise_are_refused():
    toy = Toy(
        posterior=lambda loc, raw: dist.MultivariateNormal(
            loc, scale_tril=torch.diag_embed(raw.exp())
        )
    )
    with pytest.raises(ProgramError, match=r"'z' does not suit TotalC.*MultivariateNormal in"):
        loss_of(TotalCorrelationELBO(examples=60), toy, points())
    pyro.clear_param_store()
    toy = Toy(posterior=lambda loc, raw: dist.Delta(loc).to_event(1))
    with pytest.raises(ProgramError, match="Delta in the guide is not a product of densities"):
        loss_of(TotalCorrelationELBO(examples=60), toy, points())


def test_its_weights_follow_schedules():
    objective = TotalCorrelationELBO(beta=Linear(10, 1.0, 6.0), examples=60)
    objective.advance(4)
    assert objective.weights() == {"beta": 3.0}
