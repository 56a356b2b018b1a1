"""Data from a known mixture: what a prior with modes must gain, derived, and what it gains.

With an affine decoder and fixed normal noise, a standard normal prior makes p(x) a normal,
whatever is learned. No normal gives the data more than -log det(2 pi e C) / 2 nats each, with C
their covariance; so no ELBO of such a model is above that. The true density of the data is a
mixture that the same decoder reaches with a mixture prior. The difference of the two is the
margin to be gained.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyro_vae import ELBO, likelihoods, networks, posteriors, priors
from pyro_vae.programs import vae
from pyro_vae.terms import site_terms

NOISE, WIDTH, COUNT = 0.3, 0.4, 1000
MODES = torch.cartesian_prod(torch.tensor([-3.0, 3.0]), torch.tensor([-3.0, 3.0]))


def mixture() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(4, (COUNT,), generator=generator)
    z = MODES[chosen] + WIDTH * torch.randn(COUNT, 2, generator=generator)
    return z + NOISE * torch.randn(COUNT, 2, generator=generator)


def mean_under_the_truth(x: Tensor) -> float:
    variance = NOISE**2 + WIDTH**2
    squares = (x[:, None] - MODES).square().sum(-1)
    logs = -squares / (2 * variance) - math.log(2 * math.pi * variance) - math.log(4)
    return logs.logsumexp(-1).mean().item()


def mean_under_the_best_normal(x: Tensor) -> float:
    covariance = torch.cov(x.T.double(), correction=0)
    return (-0.5 * torch.logdet(2 * math.pi * math.e * covariance)).item()


def fitted_bound(name: str, x: Tensor) -> float:
    torch.manual_seed(0)
    posterior = posteriors.DiagonalNormal(networks.MLP(2, 4, hidden=[32, 32]))
    prior: priors.Prior
    if name == "StandardNormal":
        prior = priors.StandardNormal(2)
    elif name == "MixtureOfNormals":
        prior = priors.MixtureOfNormals(2, components=10, spread=2.0)
    else:
        prior = priors.VampPrior(posterior, 2, components=20)
        prior.initialize(x)
    decoder = networks.MLP(2, 2, hidden=[])
    model = vae.Model(prior, likelihoods.Normal(decoder, scale=NOISE))
    guide = vae.Guide(posterior)
    # Unique, as the Vamp prior shares the guide's posterior.
    parameters = list({id(p): p for p in [*model.parameters(), *guide.parameters()]}.values())
    optimizer = torch.optim.Adam(parameters, 0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    for _ in range(600):
        optimizer.zero_grad()
        ELBO().differentiable_loss(model, guide, x).div(len(x)).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return site_terms(model, guide, x, particles=100).log_weights.mean().item()


@pytest.mark.slow
def test_a_prior_with_modes_gains_the_margin_that_is_there():
    x = mixture()
    truth, normal = mean_under_the_truth(x), mean_under_the_best_normal(x)
    margin = truth - normal
    # Per dimension: of a normal's width sqrt(9 + 0.25) the modes leave 0.5, twice.
    assert abs(margin - 2 * math.log(math.sqrt(9.25) / (2 * 0.5))) < 0.1
    names = ("StandardNormal", "MixtureOfNormals", "VampPrior")
    found = {name: fitted_bound(name, x) for name in names}
    print(f"\ntruth {truth:.3f}, best normal {normal:.3f}, margin {margin:.3f}")
    for name, bound in found.items():
        print(f"  {name:<17} {bound:.3f}, gains {bound - normal:.3f}")
    assert found["StandardNormal"] < normal + 1e-3
    for name in ("MixtureOfNormals", "VampPrior"):
        # A bound may pass the truth on these 1000 points by what some 30 parameters can overfit,
        # about half of one each over 1000.
        assert 0.8 * margin < found[name] - normal < margin + 0.05, name
