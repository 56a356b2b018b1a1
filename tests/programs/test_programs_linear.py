"""The linear family trains in every way that others do."""

from __future__ import annotations

import pytest
import torch
from trained_ways import moves, trains_everywhere

from pyro_vae import ELBO, explain, fit
from pyro_vae.evaluation import evaluate, generate
from pyro_vae.programs import VAE, linear

X = torch.randn(20, 5, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("noise", ["shared", "per-feature"])
def test_it_trains_in_every_way(noise, tmp_path):
    torch.manual_seed(0)
    trains_everywhere(VAE(linear.Model(5, 2, noise), linear.Guide(5, 2)), (X,), tmp_path)


def test_with_the_exact_guide_theta_alone_trains():
    torch.manual_seed(0)
    model = linear.Model(5, 2)
    guide = linear.ExactGuide(model)
    assert {id(p) for p in guide.parameters()} == {id(p) for p in model.parameters()}
    assert explain(model, guide, X).problems == []
    before = VAE(linear.Model(5, 2), linear.Guide(5, 2))
    before.model.load_state_dict(model.state_dict())
    fit(model, guide, X, objective=ELBO(kl="sampled"), epochs=2, batch_size=10, progress=False)
    moves(before.model, model, [0.0])


def test_it_is_evaluated_and_generates():
    torch.manual_seed(0)
    pair = linear.Model(5, 2), linear.Guide(5, 2)
    assert evaluate(*pair, X, particles=20).latent == 2
    assert generate(pair[0], X, 7, mean=False).shape == (7, 5)
