"""Gamma functions of large numbers, in single precision."""

from __future__ import annotations

import mpmath
import pytest
import torch

from pyro_vae.likelihoods._beta import Beta
from pyro_vae.likelihoods._gamma import log_gamma_ratio
from pyro_vae.likelihoods._negative_binomial import NegativeBinomial
from pyro_vae.likelihoods._student_t import StudentT

SIZES = [1e-6, 0.5, 3.0, 9.99, 10.01, 40.0, 1e3, 1e6, 1e12]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("b", [0.0, 1e-3, 0.5, 7.0, 300.0])
@pytest.mark.parametrize("a", SIZES)
def test_log_gamma_ratio(a, b, dtype):
    first = torch.tensor(a, dtype=dtype, requires_grad=True)
    second = torch.tensor(b, dtype=dtype, requires_grad=True)
    found = log_gamma_ratio(first, second)
    slopes = torch.autograd.grad(found, (first, second))
    with mpmath.workdps(50):
        x, y = mpmath.mpf(first.item()), mpmath.mpf(second.item())
        exact = mpmath.loggamma(x + y) - mpmath.loggamma(x)
        top, bottom = mpmath.digamma(x + y), mpmath.digamma(x)
    # The terms that are added are of the size of the answer, of log Gamma(10) or of b.
    tolerance = 2e-6 if dtype == torch.float32 else 1e-12
    assert found.item() == pytest.approx(float(exact), rel=tolerance, abs=tolerance * (14 + b))
    assert slopes[0].item() == pytest.approx(float(top - bottom), rel=1e-4, abs=5 * tolerance)
    assert slopes[1].item() == pytest.approx(float(top), rel=1e-4, abs=5 * tolerance)


@pytest.mark.parametrize("r", [1e4, 1e6, 1e8])
def test_a_negative_binomial_turns_poisson(r):
    m, x = torch.tensor(5.0), torch.tensor([0.0, 3.0, 7.0, 20.0])
    found = NegativeBinomial(m, torch.tensor(r)).log_prob(x)
    poisson = x * m.log() - m - (x + 1).lgamma()
    # They differ by ((x - m)^2 - x) / 2r, to first order.
    torch.testing.assert_close(found, poisson + ((x - m) ** 2 - x) / (2 * r), rtol=0, atol=3e-5)


@pytest.mark.parametrize("df", [1e4, 1e6, 1e8])
def test_student_t_turns_normal(df):
    x = torch.tensor([0.0, 1.0, -3.0])
    found = StudentT(torch.tensor(df), torch.tensor(0.0), torch.tensor(1.0)).log_prob(x)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(x)
    torch.testing.assert_close(found, normal, rtol=0, atol=25 / df + 3e-6)


def test_a_beta_far_from_symmetry():
    # With shapes of 1e4 and 1e6, logarithms of gamma functions of 1e7 would be subtracted.
    p = Beta(torch.tensor(1e4), torch.tensor(1e6))
    x = torch.tensor(0.01)
    with mpmath.workdps(40):
        a, b, y = mpmath.mpf(1e4), mpmath.mpf(1e6), mpmath.mpf(x.item())
        beta = mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)
        exact = (a - 1) * mpmath.log(y) + (b - 1) * mpmath.log(1 - y) - beta
    assert p.log_prob(x).item() == pytest.approx(float(exact), abs=0.01)


@pytest.mark.parametrize("shape", [1e-4, 1e-2])
def test_draws_of_a_beta_with_tiny_shapes_stay_inside(shape):
    torch.manual_seed(0)
    p = Beta(torch.tensor(shape), torch.tensor(shape))
    draws = p.sample((1000,))
    assert ((draws > 0) & (draws < 1)).all()
    assert p.log_prob(draws).isfinite().all()
    # Nearly coins: half the draws at each end.
    assert abs((draws > 0.5).float().mean() - 0.5) < 4 * 0.5 / 1000**0.5
