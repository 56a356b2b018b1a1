"""A VAE of digits with two latents, and the page on which its plane is explored."""

import os
import sys

import torch

from pyro_vae import data, evaluation, fit, likelihoods, networks, plots, posteriors, priors
from pyro_vae.programs import vae


def main(file: str) -> None:
    torch.manual_seed(0)
    digits = data.load("digits").flatten()
    decoder, encoder = networks.MLP(2, 64, [200, 200]), networks.MLP(64, 2 * 2, [200, 200])
    model = vae.Model(priors.StandardNormal(2), likelihoods.ContinuousBernoulli(decoder))
    guide = vae.Guide(posteriors.DiagonalNormal(encoder))
    epochs = 2 if "PYRO_VAE_SMOKE" in os.environ else 200
    fit(model, guide, digits, epochs=epochs, seed=0, progress=False, compile=False)

    x = digits.train[:600]
    plots.explorer(
        lambda z: evaluation.decode(model, x, z),
        file,
        z=evaluation.encode(guide, x).mean,
        labels=digits.labels["train"][:600],
        title="The latent plane of a VAE of digits",
    )


if __name__ == "__main__":
    main(sys.argv[1])
