"""The linear family beside its closed forms: eigen-solution, factor analysis, evidence, optimum."""

from __future__ import annotations

import pytest
import torch
from linear_gaussian_programs import known
from sklearn.decomposition import FactorAnalysis
from torch import Tensor

from pyro_vae import ELBO, fit
from pyro_vae.evaluation import log_evidence
from pyro_vae.programs import linear
from pyro_vae.programs.solutions import factor_analysis, principal_components
from pyro_vae.terms import site_terms


def data(n: int = 400, strong: bool = False) -> Tensor:
    g = torch.Generator().manual_seed(8)
    z = torch.randn(n, 2, generator=g, dtype=torch.float64)
    W = torch.randn(2, 6, generator=g, dtype=torch.float64)
    if strong:  # two orthogonal factors well above the noise, which few steps find
        W = torch.linalg.qr(W.T)[0].T * torch.tensor([[3.0], [2.5]])
    scale = torch.tensor([0.3, 0.5, 0.7, 0.9, 1.1, 1.3]).double()
    return z @ W + scale * torch.randn(n, 6, generator=g, dtype=torch.float64) + 0.5


def mean_evidence(model: linear.Model, x: Tensor) -> float:
    return model.evidence().log_prob(x).mean().item()


def test_evidence_and_posterior_are_those_of_the_linear_gaussian():
    case = known()
    model = linear.Model(5, 3).double()
    with torch.no_grad():
        model.W.copy_(case.truth.W)
        model.b.copy_(case.truth.mean)
        model.log_scale.fill_(case.truth.sigma).log_()
    found = model.evidence().log_prob(case.x)
    torch.testing.assert_close(found, case.truth.log_evidence(case.x), rtol=0, atol=1e-10)
    mean, covariance = case.truth.posterior(case.x)
    q = model.posterior(case.x)
    torch.testing.assert_close(q.mean, mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(q.covariance_matrix, covariance.expand(40, 3, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", ["shared", "per-feature"])
def test_with_the_exact_guide_every_weight_is_the_evidence(noise):
    x = data(30)
    model = linear.Model(6, 2, noise).double()
    model.log_scale.data.uniform_(-1.0, 1.0)
    weights = site_terms(model, linear.ExactGuide(model), x, particles=4).log_weights
    exact = model.evidence().log_prob(x).expand(4, -1)
    torch.testing.assert_close(weights, exact, rtol=0, atol=1e-9)


def test_the_principal_components_are_the_eigenvectors():
    x = data()
    model = principal_components(x, 2)
    covariance = torch.cov(x.T, correction=0)
    values = torch.linalg.eigvalsh(covariance)
    assert model.log_scale.exp().square().item() == pytest.approx(values[:4].mean().item())
    # Each column of W is an eigenvector of the covariance.
    W = model.W.detach()
    turned = covariance @ W
    torch.testing.assert_close(turned, W * values.flip(0)[:2], rtol=1e-9, atol=1e-9)
    # At the optimum the gradient of the exact likelihood vanishes.
    model.evidence().log_prob(x).mean().backward()
    for parameter in model.parameters():
        assert parameter.grad.abs().max() < 1e-9


def test_factor_analysis_is_a_stationary_point_and_that_of_sklearn():
    x = data()
    model = factor_analysis(x, 2, iterations=20_000)
    model.evidence().log_prob(x).mean().backward()
    for parameter in model.parameters():
        assert parameter.grad.abs().max() < 1e-6
    peer = FactorAnalysis(2, tol=1e-10, max_iter=20_000, svd_method="lapack").fit(x.numpy())
    assert mean_evidence(model, x) == pytest.approx(peer.score(x.numpy()), abs=1e-6)
    assert mean_evidence(model, x) > mean_evidence(principal_components(x, 2), x) + 0.1
    # Independent latents in the posterior, so that the linear guide can be exact.
    assert model.posterior(x[:1]).precision_matrix[0].detach()[0, 1].abs() < 1e-9


@pytest.mark.parametrize(
    ("noise", "solution"), [("shared", principal_components), ("per-feature", factor_analysis)]
)
def test_training_reaches_the_solution_and_the_bound_the_evidence(noise, solution):
    torch.manual_seed(0)
    x = data(strong=True).float()
    model, guide = linear.Model(6, 2, noise), linear.Guide(6, 2)
    objective = ELBO(kl="analytic", particles=2)
    fit(model, guide, x, objective=objective, epochs=60, batch_size=50, lr=5e-2, progress=False)
    best = mean_evidence(solution(x.double(), 2), x.double())
    reached = mean_evidence(model.double(), x.double())
    # No parameters can be above the optimum but for the float32 of the weights.
    assert best - 0.02 < reached < best + 1e-5
    # The bound is below by KL(q || p(z|x)); estimated by 2,000 draws for each of 400 examples.
    guide.double()
    kl = log_evidence(model, guide, x.double(), particles=1).mean - reached
    assert -0.1 < kl < 0.1


def test_the_exact_guide_ascends_the_likelihood():
    x = data(strong=True).float()
    torch.manual_seed(0)
    model = linear.Model(6, 2)
    objective = ELBO(kl="sampled")
    fit(
        model, linear.ExactGuide(model), x, objective=objective, epochs=40, batch_size=50,
        lr=5e-2, progress=False,
    )  # fmt: skip
    best = mean_evidence(principal_components(x.double(), 2), x.double())
    assert best - 0.02 < mean_evidence(model.double(), x.double()) < best + 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear.Model(0, 1), "features and latent are at least 1, not 0 and 1"),
        (lambda: linear.Model(3, 1, "many"), "noise is 'shared' or 'per-feature', not 'many'"),
        (lambda: principal_components(data(), 6), "1 <= latent < features are needed"),
        (lambda: principal_components(torch.ones(5, 3), 1), "varies in no more than 1 directions"),
        (
            lambda: factor_analysis(torch.cat([data(), torch.ones(400, 1)], 1), 2),
            "feature 6 of x never varies: leave it out",
        ),
        (lambda: factor_analysis(data(), 2, iterations=0), "iterations is at least 1, not 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()
