"""Tighter bounds against their exact expectations, on models where all is Gaussian.

Where the guide is the exact posterior with its covariance widened by c, an example's log weight is
log p(x) + D/2 log c - (c - 1)/2 r, with r chi-squared of D degrees; and chi-squared of 2 degrees is
an exponential number. Statistical tests are at 4 standard errors of 100 runs: a false alarm in
8,000.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from linear_gaussian_programs import Known, known
from torch import Tensor
from weights_quadrature import Weights

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.chi import ChiUpperBound
from pyro_vae.objectives.importance import ImportanceWeightedELBO
from pyro_vae.objectives.partial import CIWAE, MIWAE, PIWAE
from pyro_vae.objectives.renyi import RenyiELBO
from pyro_vae.objectives.thermodynamic import ThermodynamicELBO
from pyro_vae.objectives.wake_sleep import WakeSleepELBO

WIDEN = 2.0


def programs(n: int) -> Known:
    pair = known(n=n, latent=2, widen=WIDEN)
    assert pair.truth.latent == 2
    return pair


def weights() -> Weights:
    """Of log w - log p(x): r = -2 log u, with u uniform; here r on a grid with its density."""
    r = torch.linspace(0, 90, 4001, dtype=torch.float64)
    p = (-r / 2).exp()
    p[0] /= 2
    return Weights(math.log(WIDEN) - (WIDEN - 1) / 2 * r, p / p.sum())


def chi(order: float) -> float:
    """The exact upper bound less log p(x), for two dimensions."""
    return math.log(WIDEN) - math.log(1 + order * (WIDEN - 1)) / order


def thermodynamic(betas: list[float], k: int) -> Tensor:
    w = weights()
    terms = [w.normalised(w.log_w, k, beta) for beta in betas[:-1]]
    widths = [b - a for a, b in pairwise(betas)]
    return sum((d * t for d, t in zip(widths, terms, strict=True)), torch.zeros(()))


TVO = ThermodynamicELBO(particles=4, partitions=3)
#: Each objective with its exact expectation, less log p(x).
BOUNDS = {
    "ELBO": (ELBO("sampled"), lambda: weights().log_mean(1)),
    "IWAE-5": (ImportanceWeightedELBO(5), lambda: weights().log_mean(5)),
    "IWAE-50": (ImportanceWeightedELBO(50), lambda: weights().log_mean(50)),
    "IWAE-5, STL": (ImportanceWeightedELBO(5, "stl"), lambda: weights().log_mean(5)),
    "IWAE-5, DReG": (ImportanceWeightedELBO(5, "dreg"), lambda: weights().log_mean(5)),
    "IWAE-5, looped": (
        ImportanceWeightedELBO(5, vectorize=False),
        lambda: weights().log_mean(5),
    ),
    "MIWAE": (MIWAE(3, 4), lambda: weights().log_mean(4)),
    "PIWAE": (PIWAE(3, 4), lambda: weights().log_mean(12)),
    "CIWAE": (
        CIWAE(0.25, 5),
        lambda: 0.25 * weights().log_mean(1) + 0.75 * weights().log_mean(5),
    ),
    "Renyi 0.5": (RenyiELBO(0.5, 5), lambda: weights().log_mean(5, 0.5)),
    "Renyi 1": (RenyiELBO(1, 5), lambda: weights().log_mean(1)),
    "Renyi 2": (RenyiELBO(2.0, 5), lambda: weights().log_mean(5, -1.0)),
    "Renyi -1": (RenyiELBO(-1.0, 5), lambda: weights().log_mean(5, 2.0)),
    "CUBO": (ChiUpperBound(2.0, 5), lambda: weights().log_mean(5, 2.0)),
    "TVO": (TVO, lambda: thermodynamic(TVO.betas, 4)),
    "wake-sleep": (WakeSleepELBO(5), lambda: weights().log_mean(5)),
}


def draws(objective, n: int, runs: int = 100) -> Tensor:
    """The mean bound of n examples less log p(x), in each of so many runs."""
    pair = programs(n)
    evidence = pair.truth.log_evidence(pair.x).sum()
    losses = [objective.loss(pair.model, pair.guide, pair.x) for _ in range(runs)]
    return (-torch.tensor(losses, dtype=torch.float64) - evidence) / n


def assert_mean(values: Tensor, expected: float, dim: int = 0) -> None:
    error = values.std(dim) / values.shape[dim] ** 0.5
    assert ((values.mean(dim) - expected).abs() <= 4 * error + 1e-9).all(), (
        values.mean(dim),
        expected,
        error,
    )


def test_quadrature():
    """The integrals themselves, where there is a formula: E r = 2, and the ELBO's value."""
    w = weights()
    assert (w.p * w.log_w).sum().item() == pytest.approx(math.log(2) - 1, abs=1e-4)
    assert w.log_mean(1).item() == pytest.approx(math.log(2) - 1, abs=1e-4)
    one = torch.ones_like(w.log_w)
    assert w.normalised(one, 7).item() == pytest.approx(1, abs=1e-8)
    assert w.product(one, one, 7).item() == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("name", BOUNDS)
def test_value_against_its_exact_expectation(name):
    objective, expected = BOUNDS[name]
    assert_mean(draws(objective, 200), expected().item())


def test_the_order_of_the_bounds():
    """ELBO <= IWAE-5 <= IWAE-50 <= log p(x) <= CUBO, each by more than chance."""
    lower_bounds = ELBO("sampled"), ImportanceWeightedELBO(5), ImportanceWeightedELBO(50)
    values = [draws(objective, 400) for objective in lower_bounds]
    values += [torch.zeros(100, dtype=torch.float64), draws(ChiUpperBound(2.0, 2000), 20)]
    for lower, upper in pairwise(values):
        error = (lower.var() / len(lower) + upper.var() / len(upper)).sqrt()
        assert upper.mean() - lower.mean() > 4 * error
    # With many particles the estimate is the bound itself.
    assert values[-1].mean().item() == pytest.approx(chi(2.0), abs=2e-3)


def test_the_thermodynamic_sum_rises_to_the_evidence():
    values = [
        draws(ThermodynamicELBO(500, p, 0.05), 100, runs=10).mean().item() for p in (1, 4, 32)
    ]
    assert values[0] < values[1] < values[2] < 0
    assert values[2] > -0.03


@pytest.mark.parametrize("name", BOUNDS)
def test_at_the_exact_posterior_every_bound_is_the_evidence(name):
    pair = known(n=5, widen=1.0)
    objective = BOUNDS[name][0]
    bound = -objective.loss(pair.model, pair.guide, pair.x)
    assert bound == pytest.approx(pair.truth.log_evidence(pair.x).sum().item(), rel=1e-12)
