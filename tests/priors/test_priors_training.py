"""Every prior in a program: particles, gradients, copies, saved states."""

from __future__ import annotations

import copy
import inspect
import math

import pytest
import torch

from pyro_vae import ELBO, likelihoods, posteriors, priors
from pyro_vae.networks import MLP
from pyro_vae.programs import vae

PRIORS = {
    "StandardNormal": {},
    "LearnedNormal": {},
    "MixtureOfNormals": {"components": 3},
    "FlowPrior": {"kind": "coupling"},
    "FlowPrior (spline)": {"kind": "spline", "layers": 2},
    "FlowPrior (autoregressive)": {"kind": "autoregressive"},
    "Laplace": {},
    "StudentT": {},
    "ResampledPrior": {"proposals": 32},
}
each_prior = pytest.mark.parametrize("name", PRIORS)


def build(name: str, latent: int = 2, seed: int = 0) -> priors.Prior:
    torch.manual_seed(seed)
    return getattr(priors, name.split()[0])(latent, **PRIORS[name])


@each_prior
def test_particles_and_gradients_reach_every_parameter(name):
    prior = build(name)
    model = vae.Model(prior, likelihoods.Bernoulli(MLP(2, 6, [5])))
    guide = vae.Guide(posteriors.DiagonalNormal(MLP(6, 4, [5])))
    x = (torch.rand(4, 6) < 0.5).float()
    for particles in (1, 3):
        model.zero_grad()
        ELBO(kl="auto", particles=particles).differentiable_loss(model, guide, x).backward()
        for parameter_name, parameter in prior.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name
            assert parameter.grad.abs().max() > 0, parameter_name


@each_prior
def test_copies_and_saved_states(name):
    prior, other, z = build(name), build(name, seed=1), torch.randn(5, 2)

    def density(prior: priors.Prior) -> torch.Tensor:
        torch.manual_seed(7)  # of the proposals of the resampled one
        return prior().log_prob(z)

    before, twin = density(prior), copy.deepcopy(prior)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(density(twin), before) and torch.equal(density(other), before)
    p = twin.double()()
    assert p.sample().dtype == torch.float64
    assert p.log_prob(z.double()).dtype == torch.float64


@each_prior
@pytest.mark.parametrize("latent", [1, 3])
def test_shapes(name, latent):
    p = build(name, latent)()
    assert p.batch_shape == () and p.event_shape == (latent,)
    z = p.sample((4, 3))
    assert z.shape == (4, 3, latent) and p.log_prob(z).shape == (4, 3)
    expanded = p.expand([4, 3])
    assert expanded.sample().shape == (4, 3, latent)
    torch.testing.assert_close(expanded.log_prob(z), p.log_prob(z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["coupling", "spline", "autoregressive"])
def test_a_flow_prior_learns_a_shape(kind):
    """Data on a bent line: no normal comes near its density, and nothing exceeds the true one."""
    torch.manual_seed(0)
    a, e = torch.randn(2, 3000)
    data = torch.stack([a, a**2 - 1 + 0.2 * e], -1)
    train, fresh = data[:1000], data[1000:]
    prior = priors.FlowPrior(2, kind=kind, hidden=32)
    optimizer = torch.optim.Adam(prior.parameters(), 5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        (-prior().log_prob(train).mean()).backward()
        optimizer.step()
    normal = torch.distributions.MultivariateNormal(train.mean(0), train.T.cov())
    found = prior().log_prob(fresh).detach()
    truth = (-(a**2 + e**2) / 2 - math.log(2 * math.pi * 0.2))[1000:]
    floor = normal.log_prob(fresh).mean()
    assert found.mean() > floor + 0.7 * (truth.mean() - floor)
    short = truth - found  # whose mean is a KL divergence
    assert short.mean() > -4 * short.std() / len(short) ** 0.5


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("MixtureOfNormals", {"components": 0}, "components is at least 1"),
        ("MixtureOfNormals", {"spread": 0.0}, "spread is positive"),
        ("Laplace", {"scale": -1.0}, "scale is positive"),
        ("StudentT", {"df": 0.0}, "df is positive"),
        ("Uniform", {"low": 1.0, "high": 1.0}, "low is below high"),
        ("Dirichlet", {"concentration": 0.0}, "concentration is positive"),
        ("RelaxedCategorical", {"temperature": math.inf}, "temperature is positive and finite"),
        ("FlowPrior", {"layers": 0}, "layers is at least 1"),
        ("FlowPrior", {"kind": "planar"}, "kind is 'coupling', 'autoregressive' or 'spline'"),
        ("FlowPrior", {"kind": "autoregressive", "hidden": 1}, "hidden is at least latent"),
        ("ResampledPrior", {"truncation": 0}, "truncation is at least 1"),
    ],
    ids=str,
)
def test_what_is_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(priors, kind)(2, **options)


def test_every_prior_that_takes_latent_refuses_none():
    kinds = [getattr(priors, name) for name in priors.__all__ if name not in ("Prior", "VampPrior")]
    for kind in kinds:
        assert "latent" in inspect.signature(kind).parameters
        with pytest.raises(ValueError, match=r"latent .* at least 1"):
            kind(0)
