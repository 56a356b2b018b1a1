"""Posteriors with a flow on top of a base."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from pyro_vae import ELBO, likelihoods, posteriors, priors
from pyro_vae.flows import Bijection
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.posteriors.flow import FlowPosterior
from pyro_vae.programs import vae
from pyro_vae.terms import site_terms

FLOWS = ["Planar", "Householder", "Sylvester", "InverseAutoregressive", "Spline"]
each_flow = pytest.mark.parametrize("name", FLOWS)


def build(name: str, latent: int = 2, features: int = 6, **options) -> FlowPosterior:
    torch.manual_seed(0)
    kind = getattr(posteriors, name)
    outputs = kind.outputs(latent, **options)
    return kind(MLP(features, outputs, [8]), latent=latent, **options)


@each_flow
@pytest.mark.parametrize("base", ["DiagonalNormal", "StudentT"])
def test_the_density_integrates_to_one(name, base):
    family = getattr(posteriors, base)
    posterior = build(name, base=family).double()
    # Larger parameters than at the start, for a shape that is far from the base's.
    posterior.network = nn.Sequential(posterior.network, Times(3.0))
    q = posterior(torch.randn(6, dtype=torch.float64))
    draws = q.sample((20_000,))
    low, high = draws[:5000].quantile(torch.tensor([0.005, 0.995]).double(), dim=0)
    axes = [torch.linspace(*ends, 251, dtype=torch.float64) for ends in zip(low, high, strict=True)]
    with torch.no_grad():
        density = q.log_prob(torch.cartesian_prod(*axes)).exp().view(251, 251)
    mass = torch.trapezoid(torch.trapezoid(density, axes[1]), axes[0]).item()
    inside = ((draws > low) & (draws < high)).all(-1).double().mean().item()
    # About 2% lie outside the box, which is known to sqrt(0.02 / 20000) by counting.
    assert abs(mass - inside) < 4 * math.sqrt(inside * (1 - inside) / 20_000) + 1e-3


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


@each_flow
@pytest.mark.parametrize("base", ["FullCovarianceNormal", "LowRankNormal", "Planar"])
def test_any_base_that_reads_a_vector_will_do(name, base):
    posterior = build(name, base=getattr(posteriors, base)).double()
    q = posterior(torch.randn(7, 6, dtype=torch.float64))
    z = q.rsample((3,))
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()), rtol=1e-9, atol=1e-9)


@each_flow
def test_a_draw_and_the_same_value_by_inversion_have_one_density(name):
    posterior = build(name, latent=4).double()
    q = posterior(torch.randn(7, 6, dtype=torch.float64))
    z = q.rsample((3,))
    drawn, inverted = q.log_prob(z), q.log_prob(z.clone())
    torch.testing.assert_close(drawn, inverted, rtol=1e-9, atol=1e-9)


@each_flow
def test_a_step_never_inverts(name, monkeypatch):
    def never(self, y):
        raise AssertionError("inverted")

    kinds = list(Bijection.__subclasses__())
    for kind in kinds:
        monkeypatch.setattr(kind, "back", never)
    model = vae.Model(priors.StandardNormal(2), likelihoods.Bernoulli(MLP(2, 6, [5])))
    x = (torch.rand(4, 6) < 0.5).float()
    guide = vae.Guide(build(name))
    for particles in (1, 3):
        ELBO(particles=particles).differentiable_loss(model, guide, x).backward()


@each_flow
def test_particles_and_gradients_reach_every_parameter(name):
    model = vae.Model(priors.StandardNormal(2), likelihoods.Bernoulli(MLP(2, 6, [5])))
    guide = vae.Guide(build(name))
    x = (torch.rand(4, 6) < 0.5).float()
    for _ in range(2):  # the same x twice
        guide.zero_grad()
        ELBO(kl="auto", particles=3).differentiable_loss(model, guide, x).backward()
    for parameter_name, parameter in guide.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@each_flow
def test_the_gradient_is_that_of_the_slow_way(name):
    """log q of a draw, by inversion, has the same total derivative as by memory."""
    posterior = build(name, latent=3).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    gradients = []
    for clone in (False, True):
        torch.manual_seed(1)
        q = posterior(x)
        z = q.rsample()
        density = q.log_prob(z.clone() if clone else z).sum()
        gradients.append(torch.autograd.grad(density, list(posterior.parameters())))
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-7)


@each_flow
def test_particles_draw_as_single_passes_do(name):
    posterior = build(name).double()
    model = vae.Model(priors.StandardNormal(2), likelihoods.Bernoulli(MLP(2, 6, [5]))).double()
    x = (torch.rand(4, 6) < 0.5).double()
    terms = site_terms(model, vae.Guide(posterior), x, particles=3)
    assert terms.log_weights.shape == (3, 4)
    for k in range(3):
        expected = posterior(x).log_prob(terms["z"].value[k].detach())
        torch.testing.assert_close(terms["z"].log_q[k], expected, rtol=1e-9, atol=1e-9)


@each_flow
def test_copies_and_saved_states(name):
    posterior, x = build(name), torch.randn(3, 6)
    z = posterior(x).sample()
    before = posterior(x).log_prob(z)
    twin, other = copy.deepcopy(posterior), build(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(posterior.state_dict())
    assert torch.equal(twin(x).log_prob(z), before) and torch.equal(other(x).log_prob(z), before)
    assert twin.double()(x.double()).log_prob(z.double()).dtype == torch.float64


def test_householder_on_a_normal_is_a_turned_normal():
    posterior = build("Householder", layers=2).double()
    x = torch.randn(6, dtype=torch.float64)
    q = posterior(x)
    base, vectors = posterior.network(x).split(posterior.split, -1)
    turn = torch.eye(2, dtype=torch.float64)
    for v in vectors.view(2, 2):
        turn = (torch.eye(2) - 2 * torch.outer(v, v) / v.square().sum()) @ turn
    normal = DiagonalNormal(nn.Identity())(base).base_dist
    covariance = turn @ torch.diag(normal.scale**2) @ turn.T
    other = torch.distributions.MultivariateNormal(turn @ normal.loc, covariance)
    z = torch.randn(9, 2, dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(z), other.log_prob(z))


@each_flow
def test_one_dimension_will_do(name):
    q = build(name, latent=1)(torch.randn(3, 6))
    assert q.event_shape == (1,) and q.log_prob(q.sample()).isfinite().all()


@pytest.mark.parametrize("name", ["InverseAutoregressive", "Spline"])
def test_every_other_map_goes_backwards(name):
    ranks = [net.rank.tolist() for net in build(name, latent=3, layers=3).networks]
    assert ranks == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


def test_a_base_by_its_import_path():
    path = "pyro_vae.posteriors.StudentT"
    assert type(build("Planar", base=path).base) is posteriors.StudentT


@pytest.mark.parametrize("base", ["pyro_vae.posteriors.Nothing", "nowhere.Nothing", int])
def test_a_base_that_is_none(base):
    with pytest.raises(ValueError, match="base is a posterior class"):
        build("Planar", base=base)


def test_a_base_on_the_simplex_is_refused():
    with pytest.raises(ValueError, match="Dirichlet draws proportions"):
        build("Planar", base=posteriors.Dirichlet)(torch.randn(3, 6))


@each_flow
def test_a_network_of_another_size_is_named(name):
    part = getattr(posteriors, name)(nn.Linear(6, 3), latent=2)
    with pytest.raises(ValueError, match=rf"{name} takes a network with \d+ outputs"):
        part(torch.zeros(2, 6))
    with pytest.raises(ValueError, match="layers is at least 1"):
        getattr(posteriors, name)(nn.Linear(6, 3), latent=2, layers=0)
