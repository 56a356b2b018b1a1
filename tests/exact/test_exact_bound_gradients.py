"""Gradients of tighter bounds against integrals, over 10^5 independent draws.

One latent number; every example is the same datum and has parameters of its own, so that one
backward pass gives as many independent draws of the gradient as there are examples.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from weights_quadrature import Weights, standard_normal

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.chi import ChiUpperBound
from pyro_vae.objectives.importance import ImportanceWeightedELBO
from pyro_vae.objectives.partial import CIWAE, MIWAE, PIWAE
from pyro_vae.objectives.renyi import RenyiELBO
from pyro_vae.objectives.thermodynamic import ThermodynamicELBO
from pyro_vae.objectives.wake_sleep import WakeSleepELBO

X, NOISE = 1.3, 0.8
#: theta; then the guide's location and log-scale.
START = (0.9, 0.1, -0.2)
N = 100_000


def program(parameters: Tensor, n: int, extra: Tensor | None = None):
    """p(z) = N(0, 1), p(x|z) = N(theta z, NOISE^2), q(z) = N(loc, scale^2)."""
    theta, loc, log_scale = parameters

    def model(x):
        with pyro.plate("data", n):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(theta * z, NOISE), obs=x)
            if extra is not None:
                pyro.factor("extra", extra)

    def guide(x):
        with pyro.plate("data", n):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()))

    return model, guide


def gradients(objective, n: int = N, start: tuple[float, ...] = START) -> Tensor:
    """Draws of the gradient of theta, location and log-scale: ``(3, n)``."""
    parameters = torch.tensor(start, dtype=torch.float64)[:, None].repeat(1, n).requires_grad_()
    x = torch.full((n,), X, dtype=torch.float64)
    model, guide = program(parameters, n)
    with pyro.validation_enabled(False):
        (-objective.differentiable_loss(model, guide, x)).backward()
    assert parameters.grad is not None
    return parameters.grad


def log_normal(value, loc, scale) -> Tensor:
    return dist.Normal(loc, scale).log_prob(torch.as_tensor(value, dtype=torch.float64))


class Exact:
    """Log weights on a grid of the guide's noise, and what their integrals depend on."""

    def __init__(self) -> None:
        noise, self.p = standard_normal()
        self.parameters = torch.tensor(START, dtype=torch.float64, requires_grad=True)
        theta, loc, log_scale = self.parameters
        self.z = loc + log_scale.exp() * noise
        fixed = self.z.detach()
        self.log_p = log_normal(self.z, 0.0, 1.0) + log_normal(X, theta * self.z, NOISE)
        self.log_q = log_normal(self.z, loc, log_scale.exp())
        self.weights = Weights(self.log_p - self.log_q, self.p)
        #: the same, of fixed samples: theta's score, and the guide's
        self.fixed_p = log_normal(fixed, 0.0, 1.0) + log_normal(X, theta * fixed, NOISE)
        self.fixed_q = log_normal(fixed, loc, log_scale.exp())
        self.fixed = Weights(self.weights.log_w.detach(), self.p)

    def of(self, value: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(value, self.parameters, retain_graph=True)
        return gradient.detach()

    def theta_and_phi(self, theta: Tensor, phi: Tensor) -> Tensor:
        return torch.cat([self.of(theta)[:1], self.of(phi)[1:]])

    def iwae(self, k: int) -> Tensor:
        return self.of(self.weights.log_mean(k))

    def wake(self, k: int, power: float = 1.0) -> Tensor:
        """Sum of normalised weights times the guide's score."""
        return self.of(self.fixed.normalised(self.fixed_q, k, power))

    def thermodynamic(self, betas: list[float], k: int) -> Tensor:
        """The covariance gradient from k samples, term by term."""
        log_w = self.fixed.log_w
        total = torch.zeros(3, dtype=torch.float64)
        for beta, following in pairwise(betas):
            f = self.fixed_p - self.fixed_q
            density = self.fixed_q + beta * f
            own = self.fixed.normalised(f, k, beta)
            both = self.fixed.normalised(log_w * density, k, beta)
            apart = self.fixed.product(log_w, density, k, beta)
            total += (following - beta) * self.of(own + both - apart)
        return total


@cache
def exact() -> Exact:
    return Exact()


TVO = ThermodynamicELBO(particles=6, partitions=3)
UNBIASED = {
    "ELBO": (ELBO("sampled"), lambda e: e.iwae(1)),
    "IWAE": (ImportanceWeightedELBO(5), lambda e: e.iwae(5)),
    "IWAE, looped": (ImportanceWeightedELBO(5, vectorize=False), lambda e: e.iwae(5)),
    "IWAE, DReG": (ImportanceWeightedELBO(5, "dreg"), lambda e: e.iwae(5)),
    "IWAE, DReG, looped": (
        ImportanceWeightedELBO(5, "dreg", vectorize=False),
        lambda e: e.iwae(5),
    ),
    "ELBO, STL": (ImportanceWeightedELBO(1, "stl"), lambda e: e.iwae(1)),
    "MIWAE": (MIWAE(2, 3), lambda e: e.iwae(3)),
    "PIWAE": (PIWAE(2, 3), lambda e: torch.cat([e.iwae(6)[:1], e.iwae(3)[1:]])),
    "CIWAE": (CIWAE(0.3, 5), lambda e: 0.3 * e.iwae(1) + 0.7 * e.iwae(5)),
    "Renyi 0.5": (RenyiELBO(0.5, 5), lambda e: e.of(e.weights.log_mean(5, 0.5))),
    "Renyi -1": (RenyiELBO(-1.0, 5), lambda e: e.of(e.weights.log_mean(5, 2.0))),
    "wake-sleep": (
        WakeSleepELBO(5),
        lambda e: torch.cat([e.iwae(5)[:1], e.wake(5)[1:]]),
    ),
    "CUBO": (
        ChiUpperBound(3.0, 5),
        lambda e: torch.cat([e.iwae(5)[:1], 2 / 3 * e.wake(5, 3.0)[1:]]),
    ),
    "TVO": (TVO, lambda e: e.thermodynamic(TVO.betas, 6)),
}


def errors(draws: Tensor, expected: Tensor) -> Tensor:
    """How many standard errors the mean is away."""
    return (draws.mean(1) - expected).abs() / (draws.std(1) / draws.shape[1] ** 0.5)


@pytest.mark.parametrize("name", UNBIASED)
def test_gradient_against_its_exact_expectation(name):
    objective, expected = UNBIASED[name]
    # 3 numbers of 14 bounds within 4 standard errors: a false alarm in 380.
    assert (errors(gradients(objective), expected(exact())) < 4).all()


def test_the_integrals_agree_with_the_closed_form():
    """K = 1 is the ELBO, whose gradient has a formula."""
    theta, loc, log_scale = parameters = torch.tensor(START, dtype=torch.float64).requires_grad_()
    scale = log_scale.exp()
    second = loc**2 + scale**2
    fit = -(X**2 - 2 * X * theta * loc + theta**2 * second) / (2 * NOISE**2)
    elbo = fit - second / 2 + log_scale
    (gradient,) = torch.autograd.grad(elbo, parameters)
    torch.testing.assert_close(exact().iwae(1), gradient, rtol=1e-9, atol=1e-9)
    # Many particles: the model's gradient is that of log p(x).
    t = torch.tensor(START[0], dtype=torch.float64, requires_grad=True)
    (evidence,) = torch.autograd.grad(log_normal(X, 0.0, (t**2 + NOISE**2).sqrt()), t)
    assert exact().iwae(2000)[0].item() == pytest.approx(evidence.item(), abs=2e-3)


def test_the_limit_of_the_chi_gradient_is_that_of_the_exact_bound():
    """Its direction in phi is the negative slope of (1/n) log E w^n, which has K without end."""
    e = exact()
    slope = e.of((e.p * (2 * e.weights.log_w).exp()).sum().log() / 2)[1:]
    torch.testing.assert_close(0.5 * e.wake(4000, 2.0)[1:], -slope, rtol=0.02, atol=2e-3)


def test_sticking_the_landing_is_biased_for_more_than_one_particle():
    objective = ImportanceWeightedELBO(5, "stl")
    away = errors(gradients(objective), exact().iwae(5))
    assert away[0] < 4  # theta's is not
    assert (away[1:] > 10).all()
    (note,) = objective.notes()
    assert "biased" in note and "'dreg' is unbiased" in note
    assert ImportanceWeightedELBO(1, "stl").notes() == []
    assert ImportanceWeightedELBO(5, "dreg").notes() == []


def test_sticking_the_landing_has_no_variance_at_the_exact_posterior():
    theta = START[0]
    precision = 1 + theta**2 / NOISE**2
    posterior = (theta, theta * X / NOISE**2 / precision, -0.5 * math.log(precision))
    for objective in (ImportanceWeightedELBO(1, "stl"), ImportanceWeightedELBO(8, "dreg")):
        assert gradients(objective, 1000, posterior)[1:].abs().max() < 1e-12
    assert gradients(ELBO("sampled"), 1000, posterior)[1:].std(1).min() > 0.1


def test_signal_to_noise_with_more_particles():
    """Of the guide's gradient: it falls for pathwise IWAE, and rises for DReG."""

    def ratios(gradient: str) -> list[float]:
        found = []
        for k in (1, 8, 64):
            draws = gradients(ImportanceWeightedELBO(k, gradient), n=20_000)[1]
            found.append((draws.mean().abs() / draws.std()).item())
        return found

    pathwise, dreg = ratios("pathwise"), ratios("dreg")
    assert pathwise[0] > pathwise[1] > pathwise[2]
    assert dreg[0] < dreg[1] < dreg[2]


def test_looser_guide_bounds_have_the_clearer_gradient():
    """PIWAE's reason: at equal cost the guide's signal-to-noise is above that of IWAE."""
    ratios = []
    for objective in (ImportanceWeightedELBO(64), PIWAE(8, 8)):
        draws = gradients(objective, n=20_000)[1]
        ratios.append((draws.mean().abs() / draws.std()).item())
    assert ratios[1] > 1.5 * ratios[0]


def test_the_best_samples_weigh_most():
    """A number added to each sample's log p has the normalised weight for its gradient."""
    k, n = 6, 4
    for objective in (
        ImportanceWeightedELBO(k),
        ImportanceWeightedELBO(k, "stl"),
        ImportanceWeightedELBO(k, "dreg"),
        RenyiELBO(0.0, k),
        WakeSleepELBO(k),
    ):
        extra = torch.zeros(k, n, dtype=torch.float64, requires_grad=True)
        parameters = torch.tensor(START, dtype=torch.float64)[:, None].repeat(1, n)
        model, guide = program(parameters, n, extra)
        x = torch.full((n,), X, dtype=torch.float64)
        # The programs' plates are first looked at without particles, which this factor is not.
        with pyro.validation_enabled(False):
            terms = objective.terms(model, guide, x)
        (gradient,) = torch.autograd.grad(objective.bound(terms), extra)
        log_weights = terms.log_weights.detach()
        torch.testing.assert_close(gradient, log_weights.softmax(0))
        assert torch.equal(gradient.argmax(0), log_weights.argmax(0))
