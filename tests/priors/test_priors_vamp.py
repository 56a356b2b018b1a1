"""The prior that is made of the guide's own posterior."""

from __future__ import annotations

import copy

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO

from pyro_vae import ELBO, likelihoods, posteriors, priors
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.programs import VAE, vae


def programs(**options) -> VAE:
    torch.manual_seed(0)
    posterior = DiagonalNormal(MLP(6, 4, [5]))
    prior = priors.VampPrior(posterior, 6, components=3, **options)
    model = vae.Model(prior, likelihoods.Bernoulli(MLP(2, 6, [5])))
    return VAE(model, vae.Guide(posterior))


@pytest.mark.parametrize(
    "options", [{}, {"learned_weights": True}, {"bounds": (0.0, 1.0)}], ids=str
)
def test_it_is_the_mixture_of_the_posteriors_of_its_inputs(options):
    prior = programs(**options).double().model.prior
    if options.get("learned_weights"):
        with torch.no_grad():
            prior.logits.copy_(torch.tensor([0.3, -1.0, 0.5]))
    z = torch.randn(7, 2, dtype=torch.float64)
    weights = prior.logits.softmax(0)
    parts = [prior.posterior(u).log_prob(z) for u in prior.pseudo_inputs]
    expected = sum(w * part.exp() for w, part in zip(weights, parts, strict=True)).log()
    torch.testing.assert_close(prior().log_prob(z), expected)


@pytest.mark.parametrize("name", ["Planar", "Sylvester", "InverseAutoregressive", "Spline"])
def test_it_takes_a_posterior_with_a_flow(name):
    kind = getattr(posteriors, name)
    posterior = kind(MLP(6, kind.outputs(2), [5]), latent=2).double()
    p = priors.VampPrior(posterior, 6, components=3).double()()
    z = torch.randn(5, 2, dtype=torch.float64)
    inputs = p.component_distribution
    assert inputs.batch_shape == (3,)
    alone = torch.stack([p.log_prob(row) for row in z])
    torch.testing.assert_close(p.expand([5]).log_prob(z), alone, rtol=1e-8, atol=1e-8)


def test_the_posterior_is_one_module_registered_once():
    both = programs()
    x = (torch.rand(4, 6) < 0.5).float()
    assert len({id(p) for p in both.parameters()}) == len(list(both.parameters()))
    before = [p.detach().clone() for p in both.parameters()]
    svi = SVI(both.model, both.guide, pyro.optim.SGD({"lr": 0.1}), Trace_ELBO())
    svi.step(x)
    assert len(pyro.get_param_store()) == len(before)
    assert all(not torch.equal(a, b) for a, b in zip(before, both.parameters(), strict=True))


def test_the_encoder_is_pulled_by_guide_and_prior_alike():
    both = programs()
    x = (torch.rand(4, 6) < 0.5).float()
    weight = both.guide.posterior.network.layers[0].weight

    def gradient(pair: VAE) -> torch.Tensor:
        torch.manual_seed(1)
        pair.zero_grad()
        ELBO(particles=3).differentiable_loss(*pair, x).backward()
        return pair.guide.posterior.network.layers[0].weight.grad

    together = gradient(both)
    apart = VAE(copy.deepcopy(both.model), both.guide)
    alone = gradient(apart).clone()
    through_prior = apart.model.prior.posterior.network.layers[0].weight.grad
    torch.testing.assert_close(together, alone + through_prior, rtol=1e-4, atol=1e-5)
    assert weight is both.model.prior.posterior.network.layers[0].weight
    assert copy.deepcopy(both).guide.posterior is not both.guide.posterior
    twin = copy.deepcopy(both)
    assert twin.guide.posterior is twin.model.prior.posterior


def test_it_begins_at_data():
    prior = programs().model.prior
    x = torch.rand(10, 6)
    prior.initialize(x, torch.Generator().manual_seed(0))
    rows = [(x == u).all(-1).nonzero().flatten().tolist() for u in prior.pseudo_inputs]
    assert sorted(len(row) for row in rows) == [1, 1, 1] and len({row[0] for row in rows}) == 3
    prior.initialize(x[:2])
    assert {tuple(u.tolist()) for u in prior.pseudo_inputs} == {tuple(u.tolist()) for u in x[:2]}


def test_bounded_inputs_begin_near_data_and_stay_inside():
    prior = programs(bounds=(-1.0, 3.0)).model.prior
    x = torch.tensor([-1.0, 3.0, 0.5, 1.0, 2.0, -0.9]).expand(3, 6)
    prior.initialize(x)
    torch.testing.assert_close(prior.pseudo_inputs, x.clamp(-0.8, 2.8), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        prior.raw_inputs.mul_(1e6)
    assert prior.pseudo_inputs.min() >= -1 and prior.pseudo_inputs.max() <= 3


def test_what_it_refuses():
    posterior = DiagonalNormal(MLP((2, 3), 4, []))
    with pytest.raises(ValueError, match="components is at least 1"):
        priors.VampPrior(posterior, (2, 3), components=0)
    with pytest.raises(ValueError, match="bounds are"):
        priors.VampPrior(posterior, (2, 3), bounds=(1.0, 0.0))
    prior = priors.VampPrior(posterior, (2, 3), components=4)
    for x in (torch.zeros(5, 6), torch.zeros(0, 2, 3)):
        with pytest.raises(ValueError, match=r"data of shape \(N, 2, 3\)"):
            prior.initialize(x)
    prior.initialize(torch.zeros(5, 2, 3))
