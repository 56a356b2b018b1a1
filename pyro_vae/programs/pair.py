"""A model and its guide, held together."""

from __future__ import annotations

from torch import nn


class VAE(nn.Module):
    """Holds a model and its guide, for ``.to``, ``state_dict`` and saving; it adds nothing.

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> from pyro_vae.priors import StandardNormal
    >>> from pyro_vae.programs.vae import Guide, Model
    >>> model = Model(StandardNormal(2), Bernoulli(MLP(2, 64)))
    >>> guide = Guide(DiagonalNormal(MLP(64, 2 * 2)))
    >>> vae = VAE(model, guide).double()
    >>> model, guide = vae
    """

    def __init__(self, model: nn.Module, guide: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.guide = guide

    def __iter__(self):
        return iter((self.model, self.guide))
