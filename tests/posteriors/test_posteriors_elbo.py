"""Bounds on linear-Gaussian data, where the gap of each family is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from linear_gaussian_programs import Known, known
from torch import Tensor, nn

from pyro_vae import ELBO, explain
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import (
    DiagonalNormal,
    FullCovarianceNormal,
    Laplace,
    LowRankNormal,
    MixtureOfNormals,
    Posterior,
    StudentT,
)
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae
from pyro_vae.terms import site_terms


def raw(scale: Tensor) -> Tensor:
    """What softplus, and 1e-6 besides, make ``scale`` of."""
    return (scale - 1e-6).expm1().log()


class Affine(nn.Module):
    """The exact posterior's mean, then constants."""

    def __init__(self, case: Known, constants: Tensor) -> None:
        super().__init__()
        self.case, self.constants = case, constants

    def forward(self, x: Tensor) -> Tensor:
        mean, _ = self.case.truth.posterior(x)
        return torch.cat([mean, self.constants.expand(*mean.shape[:-1], -1)], -1)


def best(case: Known, name: str) -> Posterior:
    """The member of a family that is nearest to the exact posterior."""
    _, covariance = case.truth.posterior(case.x[:1])
    latent = len(covariance)
    if name == "diagonal":
        # The KL(q || p) is least where each precision is the exact one's diagonal entry.
        scale = covariance.inverse().diagonal().rsqrt()
        return DiagonalNormal(Affine(case, raw(scale)))
    if name == "full":
        factor = torch.linalg.cholesky(covariance)
        rows, columns = torch.tril_indices(latent, latent, -1)
        constants = torch.cat([raw(factor.diagonal()), factor[rows, columns]])
        return FullCovarianceNormal(Affine(case, constants))
    # In two dimensions Sigma = D + vv' with v = sqrt(|rho|) (s_1, sign(rho) s_2).
    variance = covariance.diagonal()
    rho = covariance[0, 1] / variance.prod().sqrt()
    column = rho.abs().sqrt() * variance.sqrt() * torch.tensor([1.0, rho.sign()]).double()
    scale = (variance * (1 - rho.abs())).sqrt()
    return LowRankNormal(Affine(case, torch.cat([raw(scale), column])), rank=1)


@pytest.mark.parametrize("name", ["full", "low rank"])
def test_a_correlated_normal_reaches_the_evidence_at_every_sample(name):
    case = known(latent=2)
    weights = site_terms(case.model, vae.Guide(best(case, name)), case.x, particles=4).log_weights
    exact = case.truth.log_evidence(case.x)
    torch.testing.assert_close(weights, exact.expand(4, -1), rtol=0, atol=1e-8)


def test_independent_normals_stay_below_by_the_exact_gap():
    case = known(latent=2)
    _, covariance = case.truth.posterior(case.x)
    precision = covariance.inverse()
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()
    assert gap > 0.02, "correlated enough for the test to tell"
    guide = vae.Guide(best(case, "diagonal"))
    weights = site_terms(case.model, guide, case.x, particles=4000).log_weights
    below = case.truth.log_evidence(case.x) - weights
    # Nothing depends on x here, so all samples of all examples make one mean.
    error = 4 * below.std().item() / math.sqrt(below.numel())
    assert error < 0.2 * gap
    assert abs(below.mean().item() - gap) < error


@pytest.mark.parametrize("name", ["diagonal", "full", "low rank"])
def test_the_kl_is_analytic_and_agrees(name):
    case = known(latent=2)
    guide = vae.Guide(best(case, name))
    model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 5, []))).double()
    x = (case.x > 0).double()
    terms = site_terms(model, guide, x, particles=2000)
    sampled = terms["z"].log_q - terms["z"].log_p
    error = 4 * sampled.std(0) / math.sqrt(len(sampled))
    assert ((sampled.mean(0) - terms["z"].kl[0]).abs() < error).all()
    assert explain(model, guide, x, objective=ELBO(kl="analytic")).problems == []


@pytest.mark.parametrize(
    "kind", [FullCovarianceNormal, LowRankNormal, MixtureOfNormals, Laplace, StudentT]
)
def test_vectorised_particles(kind):
    torch.manual_seed(0)
    x = (torch.rand(6, 8) < 0.5).float()
    model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 8, [5])))
    guide = vae.Guide(kind(MLP(8, kind.outputs(2), [5])))
    loss = ELBO(particles=3).differentiable_loss(model, guide, x)
    loss.backward()
    for parameter in [*model.parameters(), *guide.parameters()]:
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0
    # The mean of three is that of many, up to the error of three.
    many = [ELBO(particles=3).loss(model, guide, x) for _ in range(50)]
    spread = torch.tensor(many).std().item()
    assert abs(loss.item() - sum(many) / 50) < 5 * spread
