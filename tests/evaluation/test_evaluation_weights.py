"""Weights that arrive in parts: as if they had come at once."""

import math

import pytest
import torch

from pyro_vae.evaluation.weights import RunningWeights


def running(*parts: torch.Tensor) -> RunningWeights:
    weights = RunningWeights()
    for part in parts:
        weights.add(part)
    return weights


@pytest.mark.parametrize("shift", [0.0, 800.0, -5000.0])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_parts_equal_the_whole(shift, size):
    generator = torch.Generator().manual_seed(0)
    log_weights = 3 * torch.randn(100, 6, generator=generator, dtype=torch.float64) + shift
    result = running(*log_weights.split(size))
    expected = log_weights.logsumexp(0) - math.log(100)
    torch.testing.assert_close(result.log_mean, expected, rtol=0, atol=1e-9)
    shares = log_weights.softmax(0)
    torch.testing.assert_close(result.effective_sample_size, 1 / shares.square().sum(0))


def test_the_best_particles_weigh_most():
    """A softmax of the wrong sign would follow the worst ones."""
    result = running(torch.tensor([[0.0, 0.0]]), torch.tensor([[10.0, -10.0]]))
    expected = [math.log((1 + math.exp(v)) / 2) for v in (10.0, -10.0)]
    assert result.log_mean.tolist() == pytest.approx(expected, abs=1e-5)
    assert result.effective_sample_size.tolist() == pytest.approx([1.0, 1.0], abs=1e-3)


def test_zero_weights_are_counted():
    none = torch.full((3, 2), -torch.inf)
    some = torch.tensor([[2.0, -torch.inf]])
    for parts in ((none, some), (some, none)):
        result = running(*parts)
        assert result.log_mean[0].item() == pytest.approx(2 - math.log(4))
        assert result.log_mean[1].item() == -math.inf
        assert result.effective_sample_size.tolist() == pytest.approx([1.0, 0.0])
