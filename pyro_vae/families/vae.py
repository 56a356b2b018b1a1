"""One latent, and nothing else."""

from __future__ import annotations

from pyro_vae.programs import VAE
from pyro_vae.programs.vae import Guide, Model

from .base import Family
from .joint import joint_of_model
from .parts import Parts


class vae(Family):
    """One latent z: p(z) p(x|z) and q(z|x).

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.

    >>> vae().latent
    'z'
    """

    def programs(self, parts: Parts) -> VAE:
        joint = joint_of_model()
        posterior = parts.posterior(parts.shape, parts.latent, log_joint=joint)
        prior = parts.prior(parts.latent, posterior=posterior, shape=parts.shape)
        joint.model = Model(prior, parts.likelihood(parts.latent))
        return VAE(joint.model, Guide(posterior))
