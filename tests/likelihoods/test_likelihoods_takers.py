"""Which likelihoods take which data."""

from __future__ import annotations

import pytest
import torch

from pyro_vae.likelihoods import takers

REAL = ["Laplace", "Normal", "StudentT"]
COUNTS = ["Categorical", "NegativeBinomial", "Poisson", "ZeroInflatedNegativeBinomial"]
LEVELS = ["ContinuousBernoulli", "DiscretizedLogistic", "DiscretizedLogisticMixture"]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.0, 1.0], ["Bernoulli", *COUNTS, *LEVELS, *REAL]),
        ([0.0, 3.0], [*COUNTS, *REAL]),
        ([0.5, 3.0], REAL),
        ([0.0, 256 / 255], REAL),
        ([-1 / 255, 1.0], REAL),
        ([-1.0], REAL),
        ([0.0, 51 / 255], [*LEVELS, *REAL]),
        ([0.0, 0.3001], ["ContinuousBernoulli", *REAL]),
        ([0.3001, 0.9], ["Beta", "ContinuousBernoulli", "LogitNormal", *REAL]),
        ([float("nan")], []),
        ([1.0, float("inf")], []),
    ],
)
def test_takers(numbers, expected):
    assert takers(torch.tensor(numbers)) == expected
    assert takers(torch.tensor(numbers, dtype=torch.float64)[None]) == expected


def test_whole_numbers_of_any_type():
    assert takers(torch.tensor([0, 3])) == [*COUNTS, *REAL]


def test_likelihoods_of_others_are_not_suggested():
    from pyro_vae.likelihoods import Normal

    class Mine(Normal):
        values = "real"

    assert Mine.takes(torch.tensor([1.5])) and "Mine" not in takers(torch.tensor([1.5]))
