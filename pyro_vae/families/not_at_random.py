"""Data whose entries are missing because of what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from pyro_vae.data import Dataset
from pyro_vae.networks.self_masking import SelfMasking
from pyro_vae.programs import VAE
from pyro_vae.programs.not_at_random import Guide, Model

from .missing import missing
from .parts import Parts


class not_at_random(missing):
    """Entries of x that are missing for their own value: p(z) p(x|z) p(s|x), s which are known.

    Missing is what is nan or empty in one's own file. In other data, entries above their column's
    mean are hidden (or those below it, where low ones are lost).

    Ipsen, Mattei and Frellsen 2021, *not-MIWAE: Deep Generative Modelling with Missing not at
    Random Data*; their bound is --objective ImportanceWeightedELBO.

    Args:
        fraction: of the known entries above their column's mean, how many are hidden; by default
            half of them, and none where the data have missing entries of their own.
        append_mask: show the guide which entries are known, besides their values.
        lost: which values go missing, where that is known: it lets the mechanism be found.

    >>> not_at_random(lost="high").lost
    'high'
    """

    withheld: ClassVar[Mapping[str, str]] = {
        "log_joint": "the missing entries of x are latents, too"
    }
    redrawn = False  # whether an entry is hidden goes by its value, which must stay

    def __init__(
        self,
        fraction: float | None = None,
        append_mask: bool = False,
        lost: Literal["high", "low", "any"] = "any",
    ) -> None:
        super().__init__(fraction, append_mask)
        self.lost = lost
        self.middle: Tensor

    def arrange(self, dataset: Dataset, image: tuple[int, ...] | None, seed: int) -> Dataset:
        self.middle = dataset.train.nanmean(0)
        return super().arrange(dataset, image, seed)

    def hidden(self, x: Tensor, uniform: Tensor) -> Tensor:
        beyond = x < self.middle if self.lost == "low" else x > self.middle
        return beyond & super().hidden(x, uniform)

    def programs(self, parts: Parts) -> VAE:
        shape = self.seen_shape(parts.shape)
        posterior = parts.posterior(shape, parts.latent)
        likelihood = parts.likelihood(parts.latent)
        missingness = SelfMasking(parts.shape, parts.shape, self.lost)
        prior = parts.prior(parts.latent, posterior=posterior, shape=shape)
        model = Model(prior, likelihood, missingness)
        return VAE(model, Guide(posterior, likelihood, self.append_mask))
