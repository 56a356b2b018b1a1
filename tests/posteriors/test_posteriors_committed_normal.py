"""A posterior whose KL from the standard normal cannot fall below what it is committed to."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, TraceMeanField_ELBO
from torch import nn
from torch.distributions import kl_divergence

from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.posteriors.committed_normal import CommittedNormal, widest
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae


def kl(q) -> torch.Tensor:
    """Of each dimension."""
    base = q.base_dist
    return kl_divergence(base, dist.Normal(torch.zeros_like(base.loc), 1.0))


@pytest.mark.parametrize("delta", [1e-9, 1e-4, 0.1, 1.0, 20.0])
def test_the_widest_scale_is_delta_nats_away(delta):
    scale = widest(delta)
    assert 0.0 < scale < 1.0
    t = math.log(scale)
    assert math.expm1(2 * t) / 2 - t == pytest.approx(delta, rel=1e-9)


@pytest.mark.parametrize("delta", [1e-4, 0.1, 1.0, 5.0])
def test_no_network_output_spends_less(delta):
    raw = torch.cat([torch.linspace(-40, 40, 401), torch.tensor([1e4, -1e4])]).double()
    for loc in (0.0, 0.1, -3.0):
        outputs = torch.stack([torch.full_like(raw, loc), raw], -1)
        posterior = CommittedNormal(nn.Identity(), delta)
        spent = kl(posterior(outputs))
        assert (spent >= delta * (1 - 1e-9)).all() and spent.isfinite().all()
    # And the rate is met: at a mean of 0 and the widest scale it is delta.
    assert kl(posterior(torch.tensor([[0.0, 100.0]]).double())).item() == pytest.approx(delta)


def test_in_single_precision_it_is_so_to_the_last_digits():
    posterior = CommittedNormal(nn.Identity(), 0.1)
    spent = kl(posterior(torch.tensor([[0.0, 0.0, 100.0, 30.0]])))
    torch.testing.assert_close(spent, torch.full((1, 2), 0.1), rtol=0, atol=1e-6)


def test_collapse_stops_at_the_committed_rate():
    """A decoder that cannot use z: the plain posterior collapses, this one stays delta away."""
    rates = {}
    x = (torch.rand(64, 6) < 0.5).float()
    for name, kind, options in (
        ("plain", DiagonalNormal, {}),
        ("committed", CommittedNormal, {"delta": 0.3}),
    ):
        torch.manual_seed(0)
        decoder = MLP(2, 6, [])
        decoder.layers[0].weight.data.zero_()
        decoder.layers[0].weight.requires_grad_(False)
        guide = vae.Guide(kind(MLP(6, 4, []), **options))
        model = vae.Model(StandardNormal(2), Bernoulli(decoder))

        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), TraceMeanField_ELBO())
        for _ in range(300):
            svi.step(x)
        rates[name] = kl(guide.posterior(x)).mean().item()
    assert rates["plain"] < 0.01
    assert rates["committed"] == pytest.approx(0.3, abs=0.02)
    assert rates["committed"] >= 0.3 - 1e-6


@pytest.mark.parametrize("delta", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_must_be_positive(delta):
    with pytest.raises(ValueError, match="delta is a positive number of nats"):
        CommittedNormal(nn.Identity(), delta)


def test_bad_scales_and_outputs():
    with pytest.raises(
        ValueError, match=r"min_scale must lie in \(0, .*where 3 nats are committed"
    ):
        CommittedNormal(nn.Identity(), 3.0, min_scale=0.5)
    with pytest.raises(ValueError, match=r"2 \* latent outputs .* not 3"):
        CommittedNormal(nn.Identity())(torch.zeros(2, 3))
