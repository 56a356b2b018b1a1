"""The covariance of the aggregate posterior against loops over its definition."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from penalty_programs import Toy, loss_of, points

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.dip import DIPELBO
from pyro_vae.schedules import Linear
from pyro_vae.terms import ProgramError


def by_hand(means, covariances, off_diagonal, diagonal):
    """The penalty, in plain loops."""
    n, d = means.shape
    centre = [sum(means[k, i] for k in range(n)) / n for i in range(d)]
    total = 0.0
    for i in range(d):
        for j in range(d):
            c = sum((means[k, i] - centre[i]) * (means[k, j] - centre[j]) for k in range(n)) / n
            c = c + sum(covariances[k, i, j] for k in range(n)) / n
            total = total + (diagonal * (c - 1.0) ** 2 if i == j else off_diagonal * c**2)
    return float(total)


def full(loc, raw):
    tril = torch.diag_embed(raw.exp()) + 0.3 * torch.ones(2, 2, dtype=raw.dtype).tril(-1)
    return dist.MultivariateNormal(loc, scale_tril=tril)


@pytest.mark.parametrize("posterior", [None, full], ids=["diagonal", "full"])
@pytest.mark.parametrize("kind", ["i", "ii"])
@pytest.mark.parametrize("options", [{}, {"particles": 3}, {"particles": 2, "vectorize": False}])
def test_the_penalty_is_its_definition(kind, posterior, options):
    toy, x = Toy(posterior=posterior), points()
    with torch.no_grad():
        q = toy.q(x)
        own = torch.diag_embed(q.variance) if posterior is None else q.covariance_matrix
    if kind == "i":
        own = torch.zeros_like(own)
    loss = loss_of(DIPELBO(kind, 3.0, 5.0, **options), toy, x)
    plain = loss_of(ELBO(**options), toy, x)
    expected = by_hand(q.mean, own, 3.0, 5.0)
    assert (loss - plain).item() / 6 == pytest.approx(expected, rel=1e-9)


def test_the_covariance_of_the_second_kind_is_that_of_z():
    """Law of total variance: over many draws it is the covariance of the draws themselves."""
    toy, x = Toy(posterior=full), points(4)
    z = toy.q(x.repeat(50_000, 1)).sample()
    # Entries near 1 have standard errors of sqrt(2 / 200,000) = 0.003.
    sampled = torch.cov(z.T)
    objective = DIPELBO("ii")
    terms = objective.terms(toy.model, toy.guide, x)
    (found,) = objective._covariance(terms, terms["z"])
    torch.testing.assert_close(found.detach(), sampled, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_a_flow_has_no_moments(kind):
    def flow(loc, raw):
        return dist.TransformedDistribution(
            dist.Normal(loc, raw.exp()), [dist.transforms.TanhTransform()]
        ).to_event(1)

    with pytest.raises(ProgramError, match="'z' does not suit DIPELBO: flow on Normal in the"):
        loss_of(DIPELBO(kind), Toy(posterior=flow), points())


def test_weights_follow_schedules():
    objective = DIPELBO("i", Linear(10, 0.0, 5.0), Linear(10, 0.0, 50.0))
    objective.advance(4)
    assert objective.weights() == {"off_diagonal": 2.0, "diagonal": 20.0}


def test_it_is_the_elbo_without_weights():
    toy, x = Toy(), points()
    expected = loss_of(ELBO(), toy, x).item()
    pyro.clear_param_store()
    assert loss_of(DIPELBO("ii", 0.0, 0.0), toy, x).item() == pytest.approx(expected, rel=1e-12)
