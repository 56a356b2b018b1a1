"""The clustering VAE is a VAE with a mixture for its prior; the evidence against the exact one."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from class_programs import assert_equal, bound_gradients, clusters, data
from torch import nn

from pyro_vae.evaluation import log_evidence
from pyro_vae.evaluation.classify import classify
from pyro_vae.likelihoods import Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import MixtureOfNormals, StandardNormal, VampPrior
from pyro_vae.programs import clustering, vae


def test_the_sum_over_clusters_is_the_bound_of_a_mixture_prior():
    model, guide, (x,) = clusters()
    whole, single = vae.Model(model.prior, model.likelihood), vae.Guide(guide.posterior)
    losses, found = [], []
    for programs in ((model, guide), (whole, single)):
        objective = ELBO("sampled")
        objective.loss(*programs, x)  # the first run finds out that there is a site to enumerate
        torch.manual_seed(4)
        losses.append(objective.loss(*programs, x))
        torch.manual_seed(4)
        found.append(bound_gradients(objective, *programs, x))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    own = {name: found[0][name] for name in found[1]}
    assert_equal(own, found[1])
    left = {name for name in found[0] if name not in found[1]}
    assert left == {"1.prior.logits", "1.prior.loc", "1.prior.raw_scale"}  # the model's own


class Wide(nn.Module):
    """q(z|x), whatever x."""

    def forward(self, x):
        return dist.Normal(x.new_zeros(len(x), 1), 3.0).to_event(1)


def test_the_evidence_is_that_of_a_mixture_of_gaussians():
    torch.manual_seed(1)
    prior = MixtureOfNormals(1, components=3, spread=2.0).double()
    nn.init.normal_(prior.logits)
    net = MLP(1, 4, []).double()
    model = clustering.Model(prior, Normal(net, scale=1.0).double())
    x = data()
    w, b = net.layers[0].weight, net.layers[0].bias
    mixture = prior()
    normal = mixture.component_distribution.base_dist
    cov = (w @ w.T) * normal.scale[..., None] ** 2 + torch.eye(4, dtype=x.dtype)
    parts = dist.MultivariateNormal(normal.loc @ w.T + b, cov)
    with torch.no_grad():
        log_p = parts.log_prob(x[:, None]) + mixture.mixture_distribution.logits.log_softmax(-1)
        expected = log_p.logsumexp(-1)
    found = log_evidence(model, clustering.Guide(Wide(), prior), x, particles=4000)
    error = 5 * (1 / found.effective_sample_size).sqrt() + 1e-3
    assert ((found.log_evidence - expected).abs() < error).all()
    assert found.effective_sample_size.min() > 100


def test_the_cluster_of_an_example_is_the_mean_of_bayes_rule():
    """In one dimension, against quadrature over q(z|x)."""
    torch.manual_seed(1)
    prior = MixtureOfNormals(1, components=3, spread=2.0).double()
    nn.init.normal_(prior.logits)
    posterior = DiagonalNormal(MLP(4, 2, [])).double()
    x = data()
    grid = torch.linspace(-12, 12, 2001, dtype=x.dtype)
    mixture = prior()
    with torch.no_grad():
        q = posterior(x[:, None]).log_prob(grid[:, None]).exp()
        q = q / q.sum(-1, keepdim=True)
        log_c = mixture.component_distribution.log_prob(grid[:, None, None])
        p_c = (log_c + mixture.mixture_distribution.logits).softmax(-1)
        expected = q @ p_c
    found = classify(clustering.Guide(posterior, prior), x, site="c", particles=300)
    # Probabilities have a deviation of at most 1/2: five standard errors of 300.
    assert (found - expected).abs().max() < 5 * 0.5 / 300**0.5


def test_what_is_no_mixture_of_normals_is_refused():
    model = clustering.Model(StandardNormal(2), Normal(MLP(2, 4, [])))
    with pytest.raises(TypeError, match=r"StandardNormal is none: use priors\.MixtureOfNormals"):
        model(torch.zeros(3, 4))


def test_a_vamp_prior_has_clusters_too():
    torch.manual_seed(0)
    posterior = DiagonalNormal(MLP(4, 4, [6]))
    prior = VampPrior(posterior, 4, components=3)
    model = clustering.Model(prior, Normal(MLP(2, 4, [])))
    guide = clustering.Guide(posterior, prior)
    assert torch.isfinite(torch.tensor(ELBO().loss(model, guide, torch.randn(5, 4))))
