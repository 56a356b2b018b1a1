"""A linear VAE learns probabilistic PCA: its optimum is known in closed form.

Lucas, Tucker, Grosse and Norouzi 2019, *Don't Blame the ELBO! A Linear VAE Perspective on
Posterior Collapse*: with a linear decoder, one learned noise variance and a linear guide, the
ELBO has no maximum but that of the log-likelihood, and is equal to it there.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_vae import ELBO, data, fit, likelihoods, networks, posteriors, priors
from pyro_vae.data import LinearGaussian
from pyro_vae.programs import vae
from pyro_vae.training import validation_elbo


def linear_vae(features: int, latent: int) -> tuple[vae.Model, vae.Guide]:
    torch.manual_seed(0)
    decoder = networks.MLP(latent, features, hidden=[])
    encoder = networks.MLP(features, 2 * latent, hidden=[])
    model = vae.Model(priors.StandardNormal(latent), likelihoods.Normal(decoder))
    return model, vae.Guide(posteriors.DiagonalNormal(encoder))


def learned(model: Any) -> LinearGaussian:
    """The model's own p(x) = N(b, W W^T + s^2 I), from the decoder's weights."""
    layer = model.likelihood.network.layers[0]
    scale = math.exp(model.likelihood.log_scale.item())
    return LinearGaussian(layer.weight.detach().double(), layer.bias.detach().double(), scale)


def mean_evidence(model: LinearGaussian, x: Tensor) -> float:
    return model.log_evidence(x.double()).mean().item()


def test_a_small_linear_vae_reaches_the_optimum_of_ppca():
    x = data.load("linear_gaussian").train[:500]
    latent = 2
    model, guide = linear_vae(x.shape[1], latent)
    fit(model, guide, x, epochs=60, batch_size=50, lr=3e-2, progress=False)
    optimum = mean_evidence(LinearGaussian.fit(x.double(), latent), x)
    reached = mean_evidence(learned(model), x)
    # No parameters can be above the optimum, but for the float32 of the weights.
    assert optimum - 0.1 < reached < optimum + 1e-5
    # The ELBO is below it by KL(q || p(z|x)). It is estimated by one sample an example, in which
    # z^T z / 2 of the noise has variance latent / 2 and the rest less: four standard errors.
    elbo = validation_elbo(model, guide, x)["valid_elbo"]
    assert elbo == pytest.approx(optimum, abs=0.1 + 4 * math.sqrt(latent / len(x)))


#: Exact mean log-likelihood of the optimum per example: of the 60,000 images that it was fitted
#: to and of the test images, with the margin in nats that a run has to come within.
MNIST = {2: (12.43, 14.36, 0.1), 10: (182.15, 186.02, 0.5)}


@pytest.mark.slow
@pytest.mark.parametrize("latent", MNIST)
def test_a_linear_vae_reaches_the_optimum_of_ppca_on_mnist(data_folder, latent):
    """Ten epochs of 938 steps, one to two minutes on two CPU cores.

    What decides is the number of steps at a high rate and its decay to zero: Adam's default here,
    2e-3, needs several times as many to turn W to the leading eigenvectors.
    """
    try:
        mnist = data.load("mnist", cache=data_folder, download=False).flatten()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    x = torch.cat([mnist.train, mnist.valid])
    train, test, margin = MNIST[latent]
    optimum = LinearGaussian.fit(x, latent).to(dtype=torch.float64)
    assert mean_evidence(optimum, x) == pytest.approx(train, abs=0.005)
    assert mean_evidence(optimum, mnist.test) == pytest.approx(test, abs=0.005)
    model, guide = linear_vae(784, latent)
    objective = ELBO(kl="analytic")
    fit(model, guide, x, objective=objective, epochs=10, batch_size=64, lr=1e-2, progress=False)
    reached = mean_evidence(learned(model), x), mean_evidence(learned(model), mnist.test)
    elbo = validation_elbo(model, guide, x)["valid_elbo"]
    print(f"q={latent}: train {reached[0]:.3f}, test {reached[1]:.3f}, ELBO {elbo:.3f}")
    assert train - margin < reached[0] < train + 0.01
    assert test - margin < reached[1] < test + margin
    assert elbo == pytest.approx(train, abs=2 * margin)
