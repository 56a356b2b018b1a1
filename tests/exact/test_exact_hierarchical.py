"""Linear-Gaussian hierarchies: the evidence is known, and each way of inference can reach it."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from linear_families import affine, full_covariance
from torch import Tensor, nn

from pyro_vae import ELBO
from pyro_vae.evaluation import log_evidence
from pyro_vae.evaluation.layers import kl_per_site
from pyro_vae.likelihoods import Normal
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import hierarchical, residual
from pyro_vae.terms import site_terms

FEATURES, SIGMA = 5, 0.6
S = torch.tensor([0.7, 1.1]).double()  # of z1 given z2


class Case:
    """z2 ~ N(0, I), z1 ~ N(A z2, diag(s^2)), x ~ N(W z1 + b, sigma^2), and the guides' answers."""

    def __init__(self, orthogonal: bool = False) -> None:
        g = torch.Generator().manual_seed(6)
        A, W = (torch.randn(n, 2, generator=g, dtype=torch.float64) for n in (2, FEATURES))
        b = torch.randn(FEATURES, generator=g, dtype=torch.float64)
        if orthogonal:  # then all that is inferred is independent in each latent
            A, W = torch.diag(A.diagonal()), torch.linalg.qr(W)[0] * torch.tensor([1.5, 0.8])
        self.A, self.W, self.b = A, W, b
        likelihood = Normal(affine(W, bias=b), scale=SIGMA).double()
        likelihood.log_scale.fill_(math.log(SIGMA))  # in double precision
        layers = [DiagonalNormal(affine(A, S), min_scale=0.0)]
        self.model = hierarchical.Model(StandardNormal(2).double(), layers, likelihood)
        self.prior1 = A @ A.T + torch.diag(S**2)  # covariance of z1
        noise = SIGMA**2 * torch.eye(FEATURES).double()
        marginal = dist.MultivariateNormal(b, W @ self.prior1 @ W.T + noise)
        self.x = marginal.expand([40]).sample()
        self.evidence = marginal.log_prob(self.x)

    def first(self) -> tuple[Tensor, Tensor, Tensor]:
        """p(z1|x) as weight, bias and covariance."""
        covariance = torch.linalg.inv(torch.linalg.inv(self.prior1) + self.W.T @ self.W / SIGMA**2)
        weight = covariance @ self.W.T / SIGMA**2
        return weight, -weight @ self.b, covariance

    def second(self) -> tuple[Tensor, Tensor, Tensor]:
        """p(z2|z1)."""
        scaled = self.A.T @ torch.diag(S**-2)
        covariance = torch.linalg.inv(torch.eye(2) + scaled @ self.A)
        return covariance @ scaled, torch.zeros(2), covariance

    def bottom_up(self) -> hierarchical.Guide:
        return hierarchical.Guide([full_covariance(*self.first()), full_covariance(*self.second())])

    def rough(self, widen: float = 1.2) -> hierarchical.Guide:
        """Independent latents, too wide: not the posterior, but no weight is heavy."""
        parts = []
        for weight, bias, covariance in (self.first(), self.second()):
            scale = widen * covariance.diagonal().sqrt()
            parts.append(DiagonalNormal(affine(weight, scale, bias), min_scale=0.0))
        return hierarchical.Guide(parts)

    def ladder(self) -> hierarchical.LadderGuide:
        """For the orthogonal case: what x alone says of z1, and p(z2|x)."""
        square = self.W.square().sum(0)
        weight = self.W.T / square[:, None]
        message = DiagonalNormal(affine(weight, SIGMA / square.sqrt(), -weight @ self.b), 0.0)
        W2 = self.W @ self.A
        noise = self.W @ torch.diag(S**2) @ self.W.T + SIGMA**2 * torch.eye(FEATURES).double()
        toward = W2.T @ torch.linalg.inv(noise)
        variance = 1 / (1 + (toward @ W2).diagonal())
        weight = variance[:, None] * toward
        top = DiagonalNormal(affine(weight, variance.sqrt(), -weight @ self.b), min_scale=0.0)
        # d1 = x, and d2 = x as well.
        return hierarchical.LadderGuide(
            [nn.Identity(), nn.Identity()], [message, top], self.model.layers
        )


@pytest.mark.parametrize("way", ["bottom_up", "ladder"])
def test_with_the_exact_posterior_every_weight_is_the_evidence(way):
    case = Case(orthogonal=way == "ladder")
    guide = getattr(case, way)()
    weights = site_terms(case.model, guide, case.x, particles=5).log_weights
    torch.testing.assert_close(weights, case.evidence.expand(5, -1), rtol=0, atol=1e-9)
    loss = ELBO(kl="sampled").loss(case.model, guide, case.x)
    assert loss == pytest.approx(-case.evidence.sum().item(), abs=1e-8)


def test_importance_sampling_finds_the_evidence():
    case = Case()
    agrees(case.model, case.rough(), case.x, case.evidence, particles=4000)
    loose = log_evidence(case.model, case.rough(), case.x, particles=1)
    assert loose.mean < case.evidence.mean().item() - 0.01


def test_the_kl_of_each_layer_is_the_exact_one():
    case = Case(orthogonal=True)
    particles = 400
    kl = kl_per_site(case.model, case.ladder(), case.x, particles=particles)
    W2 = case.W @ case.A
    noise = case.W @ torch.diag(S**2) @ case.W.T + SIGMA**2 * torch.eye(FEATURES).double()
    precision = torch.eye(2) + W2.T @ torch.linalg.inv(noise) @ W2
    mean = (case.x - case.b) @ torch.linalg.inv(noise) @ W2 @ torch.linalg.inv(precision)
    q2 = dist.MultivariateNormal(mean, precision_matrix=precision)
    exact = torch.distributions.kl_divergence(
        q2, dist.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    )
    torch.testing.assert_close(kl["z2"], exact, rtol=0, atol=1e-9)
    # The sum is KL(q(z1, z2|x) || p(z1, z2)) = E[log p(x|z1)] - log p(x), with p(z1|x) known.
    weight, bias, covariance = case.first()
    residuals = case.x - (case.x @ weight.T + bias) @ case.W.T - case.b
    square = residuals.square().sum(1) + (case.W @ covariance @ case.W.T).diagonal().sum()
    reconstruction = -0.5 * (square / SIGMA**2 + FEATURES * math.log(2 * math.pi * SIGMA**2))
    total = reconstruction - case.evidence
    # z1's KL averages over draws of z2: its spread over 400 draws is far below 1 nat / sqrt(400).
    error = (kl["z1"] + kl["z2"] - total).mean().item()
    assert abs(error) < 5 / math.sqrt(particles * len(case.x))
    assert kl["z1"].min() > 0


def stream() -> tuple[residual.Model, residual.Guide, dist.MultivariateNormal]:
    """A linear residual hierarchy of three layers; its x is normal, with a known covariance."""
    torch.manual_seed(3)
    width, latent, layers = 4, 2, 3
    down = residual.Stream(layers, latent, width, hidden=[])
    down.double()
    for prior in down.priors:  # a constant scale
        prior.network.layers[0].weight.data[latent:] = 0.0
        prior.network.layers[0].weight.data[:latent] *= 0.5
    down.start.data.normal_()
    likelihood = Normal(nn.Linear(width, FEATURES), scale=SIGMA).double()
    model = residual.Model(down, likelihood)
    mean, covariance = down.start.detach(), torch.zeros(width, width).double()
    for number in range(layers, 0, -1):
        affine_map, add = down.priors[number - 1].network.layers[0], down.adds[number - 1]
        C, c = affine_map.weight.detach()[:latent], affine_map.bias.detach()
        U = add.weight.detach()
        scale = torch.nn.functional.softplus(c[latent:]) + 1e-6
        step = torch.eye(width) + U @ C
        mean = step @ mean + U @ c[:latent] + add.bias.detach()
        covariance = step @ covariance @ step.T + U @ torch.diag(scale**2) @ U.T
    V, b = likelihood.network.weight.detach(), likelihood.network.bias.detach()
    variance = float(likelihood.log_scale.exp()) ** 2
    noise = V @ covariance @ V.T + variance * torch.eye(FEATURES).double()
    posteriors = [DiagonalNormal(nn.Linear(width + FEATURES, 2 * latent)) for _ in range(layers)]
    guide = residual.Guide(down, nn.Identity(), posteriors).double()
    for posterior in guide.posteriors:
        posterior.network.weight.data *= 0.1
        posterior.network.bias.data.fill_(0.3)
    return model, guide, dist.MultivariateNormal(V @ mean + b, noise)


def test_the_residual_hierarchy_has_its_own_evidence():
    model, guide, marginal = stream()
    x = marginal.expand([40]).sample()
    agrees(model, guide, x, marginal.log_prob(x), particles=20_000)


def agrees(model: nn.Module, guide: nn.Module, x: Tensor, evidence: Tensor, particles: int) -> None:
    """By the delta method: log of a mean of K weights has variance 1 / ESS - 1 / K, and half of
    that as its bias. Five standard errors of a mean over the examples."""
    found = log_evidence(model, guide, x, particles=particles)
    variance = (1 / found.effective_sample_size - 1 / particles).sum().item()
    error = (found.log_evidence - evidence).sum().item()
    bound = 5 * math.sqrt(variance) + variance / 2
    assert abs(error) < bound
    assert bound / len(x) < 0.05, "the test would see 0.05 nats"
