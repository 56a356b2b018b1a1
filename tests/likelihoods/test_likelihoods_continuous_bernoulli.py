"""The continuous Bernoulli around one half and far from it, against two hundred digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from pyro_vae.likelihoods._continuous_bernoulli import ContinuousBernoulli

#: Around the points where one formula hands over to another, and at both ends.
SIZES = [0.0, 1e-30, 1e-8, 1e-4, 1e-3, 4.1e-3, 0.01, 0.1, 0.4, 0.4999, 0.5001, 1.0, 3.0, 15.0]
LOGITS = sorted({sign * size for size in [*SIZES, 17.0, 50.0, 200.0] for sign in (-1, 1)})


def exact(logit: float, x: float) -> tuple[float, float, float]:
    """The density's logarithm, its slope in the logit, and the mean."""
    with mpmath.workdps(200):
        one, number = mpmath.mpf(logit), mpmath.mpf(x)
        if logit == 0:
            return 0.0, float(number - 0.5), 0.5
        density = number * one - mpmath.log(mpmath.expm1(one) / one)
        mean = 1 / (1 - mpmath.exp(-one)) - 1 / one
        return float(density), float(number - mean), float(mean)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("x", [0.0, 0.25, 0.5, 1.0])
def test_density_slope_and_mean(dtype, x):
    # A few roundings; the series stop at 1e-12. A product of 200 is rounded in its own size.
    tolerance = 5e-7 if dtype == torch.float32 else 1e-12
    for number in LOGITS:
        logit = torch.tensor(number, dtype=dtype, requires_grad=True)
        p = ContinuousBernoulli(logit)
        density = p.log_prob(torch.tensor(x, dtype=dtype))
        (slope,) = torch.autograd.grad(density, logit)
        found = density.item(), slope.item(), p.mean.item()
        wanted = exact(logit.item(), x)
        assert found == pytest.approx(wanted, rel=tolerance, abs=tolerance * max(1, abs(number)))


@pytest.mark.parametrize("number", [-1e4, -30.0, -1.0, 0.0, 1e-9, 1e-3, 2.0, 30.0, 1e4])
def test_draws_follow_the_distribution_function(number):
    logit = torch.tensor(number, dtype=torch.float64)
    torch.manual_seed(0)
    draws = ContinuousBernoulli(logit).sample((20000,)).sort().values
    assert (draws >= 0).all() and (draws <= 1).all()
    # F(x) = (1 - e^(l x)) / (1 - e^l), with no positive exponents.
    if number == 0:
        below = draws
    elif number < 0:
        below = (logit * draws).expm1() / logit.expm1()
    else:
        below = (logit * (draws - 1)).exp() * (-logit * draws).expm1() / (-logit).expm1()
    steps = torch.arange(1, 20001, dtype=torch.float64) / 20000
    # Kolmogorov: 1.95 / sqrt(n) is passed once in 1,000 seeds.
    assert (below - steps).abs().max() < 1.95 / 20000**0.5
