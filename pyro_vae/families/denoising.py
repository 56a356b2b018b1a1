"""A guide that is trained on spoilt data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pyro_vae import evaluation
from pyro_vae.programs import VAE
from pyro_vae.programs.corruption import Corruption
from pyro_vae.programs.denoising import Guide, Model
from pyro_vae.terms import untouched_randomness

from .base import Family
from .grids import ACROSS, grid
from .joint import joint_of_model
from .parts import Parts
from .view import Finding, View, line

#: Reconstructions that are averaged.
DRAWS = 20


class denoising(Family):
    """One latent z, and a guide that sees x spoilt in training: p(z) p(x|z) and q(z|spoilt x).

    The clean x is reconstructed. In evaluation nothing is spoilt, and the bound is that of q(z|x).

    Im, Ahn, Memisevic and Bengio 2017, *Denoising Criterion for Variational Auto-Encoding
    Framework*.

    Args:
        corruption: how x is spoilt.

    >>> from pyro_vae.programs.corruption import Masking
    >>> denoising(Masking(0.5)).corruption.rate
    0.5
    """

    def __init__(self, corruption: Corruption) -> None:
        self.corruption = corruption

    def programs(self, parts: Parts) -> VAE:
        # A posterior that uses the model does so on what it sees, the spoilt copy; one that a prior
        # uses, on pseudo-inputs, which nobody spoils.
        joint = joint_of_model()
        posterior = parts.posterior(parts.shape, parts.latent, log_joint=joint)
        prior = parts.prior(parts.latent, posterior=posterior, shape=parts.shape)
        joint.model = Model(prior, parts.likelihood(parts.latent))
        return VAE(joint.model, Guide(posterior, self.corruption))

    def findings(self, view: View) -> list[Finding]:
        spoilt = self._spoilt(view.x)
        made, before = self._cleaned(view, spoilt), _rmse(spoilt - view.x)
        error = _rmse(made - view.x)
        note = f"RMSE to the clean x from {type(self.corruption).__name__} (spoilt: {before:.3f})"
        return [
            Finding("denoised_rmse", error, line("denoised", f"{error:.3f}", note)),
            Finding("spoilt_rmse", before, ""),
        ]

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        if view.image is None:
            return
        x = view.x[:ACROSS]
        spoilt = self._spoilt(x)
        rows = torch.stack([x, spoilt, self._cleaned(view, spoilt)])
        title = f"{type(self.corruption).__name__}, and the mean of 20 reconstructions"
        yield "denoised", grid(view, rows, title, ["clean", "spoilt", "denoised"])

    def _spoilt(self, x: Tensor) -> Tensor:
        with untouched_randomness(0):
            return self.corruption.corrupt(x)

    def _cleaned(self, view: View, spoilt: Tensor) -> Tensor:
        draws = [evaluation.reconstruct(*view.programs, spoilt, seed=i) for i in range(DRAWS)]
        return torch.stack(draws).mean(0)


def _rmse(error: Tensor) -> float:
    return math.sqrt(float(error.double().square().mean()))
