"""One latent, and nothing else."""

from __future__ import annotations

from torch import Tensor

from pyro_vae.programs import VAE, log_joint
from pyro_vae.programs.vae import Guide, Model

from .base import Family
from .parts import Parts


class vae(Family):
    """One latent z: p(z) p(x|z) and q(z|x).

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.

    >>> vae().latent
    'z'
    """

    def programs(self, parts: Parts) -> VAE:
        # Bound later to the model, which may hold in its prior the very posterior that asks for it.
        joint = log_joint(_no_model)
        posterior = parts.posterior(parts.shape, parts.latent, log_joint=joint)
        prior = parts.prior(parts.latent, posterior=posterior, shape=parts.shape)
        joint.model = Model(prior, parts.likelihood(parts.latent))
        return VAE(joint.model, Guide(posterior))


def _no_model(x: Tensor) -> None:
    raise ValueError("the joint density is asked for before there is a model")
