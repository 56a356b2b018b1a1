"""The KL of correlated normals from independent ones, against PyTorch's for full covariances."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import kl_divergence

from pyro_vae.posteriors import FullCovarianceNormal, LowRankNormal
from pyro_vae.priors import StandardNormal


def posterior(name: str, batch: tuple[int, ...] = (5,)) -> dist.TorchDistribution:
    torch.manual_seed(1)
    kind = {"full": FullCovarianceNormal, "low rank": LowRankNormal}[name]
    (size,) = kind.outputs(3)
    return kind(nn.Identity())(torch.randn(*batch, size, dtype=torch.float64))


@pytest.mark.parametrize("name", ["full", "low rank"])
@pytest.mark.parametrize("batch", [(), (5,), (2, 5)], ids=str)
def test_it_is_the_kl_of_two_full_normals(name, batch):
    q = posterior(name, batch)
    loc = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    scale = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    p = dist.Normal(loc, scale).to_event(1)
    full = dist.MultivariateNormal(q.mean, q.covariance_matrix)
    expected = kl_divergence(full, dist.MultivariateNormal(loc, torch.diag(scale**2)))
    assert expected.shape == batch
    torch.testing.assert_close(kl_divergence(q, p), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(kl_divergence(q, p.expand(batch)), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["full", "low rank"])
def test_sampled_and_analytic_agree(name):
    q, p = posterior(name), StandardNormal(3).double()()
    z = q.sample((20_000,))
    sampled = q.log_prob(z) - p.log_prob(z)
    error = 4 * sampled.std(0) / math.sqrt(len(z))
    assert (error < 0.1 * (1 + kl_divergence(q, p))).all(), "the test could not tell"
    assert ((sampled.mean(0) - kl_divergence(q, p)).abs() < error).all()


@pytest.mark.parametrize("name", ["full", "low rank"])
def test_other_pairs_have_none(name):
    q = posterior(name)
    laplace = dist.Laplace(torch.zeros(3).double(), 1.0).to_event(1)
    for p in (laplace, dist.Normal(torch.zeros(5, 3).double(), 1.0).to_event(2)):
        with pytest.raises(NotImplementedError):
            kl_divergence(q, p)
