"""Data with missing entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from pyro_vae import evaluation
from pyro_vae.data import Dataset
from pyro_vae.data.dataset import SPLITS
from pyro_vae.programs import VAE
from pyro_vae.programs.missing import Guide, Model, known

from .base import Family
from .filling import column_means, filling_error
from .grids import ACROSS, grid
from .joint import joint_of_model
from .parts import Parts
from .view import Finding, View

#: Importance samples of an imputation; examples that are imputed for the report.
PARTICLES, IMPUTED = 200, 1000


class missing(Family):
    """Entries of x that are missing at random: p(z) p(x_obs|z) and q(z|x_obs).

    Missing is what is nan or empty in one's own file. Of other entries a part is hidden, at random,
    so that one can see how well they are filled in.

    Mattei and Frellsen 2019, *MIWAE: Deep Generative Modelling and Imputation of Incomplete Data
    Sets*; their bound is --objective ImportanceWeightedELBO.

    Args:
        fraction: of the known entries, how many are hidden; by default half of them, and none where
            the data have missing entries of their own.
        append_mask: show the guide which entries are known, besides their values.

    >>> missing(fraction=0.3).fraction
    0.3
    """

    gaps = True
    withheld: ClassVar[Mapping[str, str]] = {
        "log_joint": "its posterior sees no mask, unless you give --program.append_mask true"
    }

    def __init__(self, fraction: float | None = None, append_mask: bool = False) -> None:
        if fraction is not None and not 0 <= fraction < 1:
            raise ValueError(
                f"--program.fraction is a part, from 0 to below 1, of the entries, not {fraction}"
            )
        self.fraction = fraction
        self.append_mask = append_mask
        self.means: Tensor

    def arrange(self, dataset: Dataset, image: tuple[int, ...] | None, seed: int) -> Dataset:
        for split in SPLITS:
            nothing = getattr(dataset, split).isnan().flatten(1).all(1)
            if bool(nothing.any()):
                row = int(nothing.nonzero()[0])
                raise ValueError(
                    f"nothing is known of {int(nothing.sum())} rows of {split} of {dataset.name}, "
                    f"first of row {row} (from 0): leave them out"
                )
        if self.fraction is None:
            has_gaps = any(bool(getattr(dataset, split).isnan().any()) for split in SPLITS)
            self.fraction = 0.0 if has_gaps else 0.5
        return dataset

    def default_likelihood(self, dataset: Dataset) -> str | None:
        # What is missing cannot become a coin.
        grey = dataset.values == "grey" and bool(dataset.train.isnan().any())
        return "ContinuousBernoulli" if grey else None

    def others(self, dataset: Dataset, split: str, seed: int) -> tuple[Tensor, ...]:
        x = getattr(dataset, split)
        generator = torch.Generator().manual_seed(seed + SPLITS.index(split))
        known = ~x.isnan() & ~self.hidden(x, torch.rand(x.shape, generator=generator))
        if split == "train":
            self.means = column_means(x.nan_to_num(), known)
        return (known,)

    def hidden(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Which entries of x are hidden, by a uniform number for each."""
        assert self.fraction is not None
        return uniform < self.fraction

    def programs(self, parts: Parts) -> VAE:
        joint = joint_of_model(_x_and_mask) if self.append_mask else None
        shape = self.seen_shape(parts.shape)
        posterior = parts.posterior(shape, parts.latent, log_joint=joint)
        prior = parts.prior(parts.latent, posterior=posterior, shape=shape)
        model = Model(prior, parts.likelihood(parts.latent))
        if joint is not None:
            joint.model = model
        return VAE(model, Guide(posterior, self.append_mask))

    def seen_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what the guide's network takes: x, and the mask behind it."""
        return (2 * shape[0], *shape[1:]) if self.append_mask else shape

    def seen(self, guide: Any, x: Tensor, *others: Tensor) -> Tensor:
        x, mask = known(x, *others)
        return torch.cat([x, mask.to(x)], 1) if self.append_mask else x

    def findings(self, view: View) -> list[Finding]:
        x, known = view.first(IMPUTED)
        hidden = ~known & ~x.isnan()
        if not bool(hidden.any()):
            return []
        return filling_error(self._imputed(view, IMPUTED), x, hidden, self.means.to(x))

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        if view.image is None:
            return
        x, known = view.first(ACROSS)
        rows = torch.stack([x, x.masked_fill(~known, torch.nan), self._imputed(view, ACROSS)])
        title = "missing entries in pink, and filled in by their mean"
        yield "imputed", grid(view, rows, title, ["data", "known", "imputed"])

    def _imputed(self, view: View, n: int) -> Tensor:
        return evaluation.impute(*view.programs, *view.first(n), particles=PARTICLES)


def _x_and_mask(seen: Tensor) -> tuple[Tensor, Tensor]:
    """x and what is known of it, one behind the other in what the posterior sees."""
    x, mask = seen.chunk(2, 1)
    return x, mask > 0.5
