"""A linear-Gaussian conditional model: log p(x|y) and p(z|x, y) are known, and reached."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from linear_families import affine, full_covariance
from torch import Tensor, nn

from pyro_vae import ELBO
from pyro_vae.evaluation import log_evidence
from pyro_vae.likelihoods import Normal
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.programs import conditional
from pyro_vae.terms import site_terms

LATENT, FEATURES, CONTEXT, SIGMA = 2, 4, 3, 0.6


class Case:
    """z|y ~ N(A y, diag(t^2)), x|z, y ~ N(W z + B y + b, sigma^2): model, exact guide, evidence."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(5)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g, dtype=torch.float64)

        A, W, B, b = draw(LATENT, CONTEXT), draw(FEATURES, LATENT), draw(FEATURES, CONTEXT), draw(4)
        t = torch.tensor([0.8, 1.3]).double()
        prior = DiagonalNormal(affine(A, t), min_scale=0.0)
        likelihood = Normal(affine(torch.cat([W, B], 1), bias=b), scale=SIGMA).double()
        likelihood.log_scale.fill_(math.log(SIGMA))  # in double precision
        self.model = conditional.Model(prior, likelihood)
        # Bayes' rule for normals.
        precision = torch.diag(t**-2) + W.T @ W / SIGMA**2
        covariance = torch.linalg.inv(precision)
        from_x = covariance @ W.T / SIGMA**2
        from_y = covariance @ torch.diag(t**-2) @ A - from_x @ B
        mean = torch.cat([from_x, from_y], 1), -from_x @ b
        self.guide = conditional.Guide(full_covariance(*mean, covariance))
        self.y = draw(50, CONTEXT)
        loc = self.y @ (W @ A + B).T + b
        noise = W @ torch.diag(t**2) @ W.T + SIGMA**2 * torch.eye(FEATURES).double()
        marginal = dist.MultivariateNormal(loc, noise)
        self.x = marginal.sample()
        self.evidence = marginal.log_prob(self.x)
        # Independent latents, too wide: not the posterior, but no weight is heavy.
        scale = 1.2 * covariance.diagonal().sqrt()
        self.rough = conditional.Guide(DiagonalNormal(affine(mean[0], scale, mean[1])))


def test_with_the_exact_posterior_every_weight_is_the_evidence():
    case = Case()
    weights = site_terms(case.model, case.guide, case.x, case.y, particles=5).log_weights
    torch.testing.assert_close(weights, case.evidence.expand(5, -1), rtol=0, atol=1e-9)
    loss = ELBO(kl="sampled").loss(case.model, case.guide, case.x, case.y)
    assert loss == pytest.approx(-case.evidence.sum().item(), abs=1e-8)


def test_importance_sampling_finds_the_evidence():
    case = Case()
    found = log_evidence(case.model, case.rough, case.x, case.y, particles=4000)
    # The delta method: log of a mean of K weights has variance (1 / ESS - 1 / K), and its bias is
    # half of that. Five standard errors of a mean over the 50 examples.
    variance = 1 / found.effective_sample_size - 1 / 4000
    error = found.log_evidence - case.evidence
    bound = 5 * math.sqrt(variance.sum().item()) + variance.sum().item() / 2
    assert abs(error.sum().item()) < bound
    assert 0 < bound / len(error) < 0.02, "the test would see 0.02 nats"
    loose = log_evidence(case.model, case.rough, case.x, case.y, particles=1)
    assert loose.mean < case.evidence.mean().item() - 0.01


def test_the_context_matters_to_the_evidence():
    case = Case()
    turned = log_evidence(case.model, case.rough, case.x, case.y.roll(1, 0), particles=200)
    assert turned.mean < case.evidence.mean().item() - 1.0


def test_a_prior_without_context_is_called_without():
    class Fixed(nn.Module):
        def forward(self) -> dist.TorchDistribution:
            return dist.Normal(torch.zeros(2), 1.0).to_event(1)

    model = conditional.Model(Fixed(), Normal(nn.Linear(5, 4)))
    assert not model.prior_asks and Case().model.prior_asks
    assert model(torch.zeros(6, 4), torch.zeros(6, 3)).shape == (6, 4)
