"""Counts, given how many there are in all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vae import evaluation
from pyro_vae.data import Dataset
from pyro_vae.data.dataset import SPLITS
from pyro_vae.programs import VAE
from pyro_vae.programs.counts import Guide, Model

from .base import Family
from .joint import joint_of_model
from .parts import Parts
from .view import Finding, View, line

TAKE_TOTALS = ("NegativeBinomial", "Poisson", "ZeroInflatedNegativeBinomial")


class counts(Family):
    """Counts given their total in each example, such as of transcripts in a cell: p(z) p(x|z, l).

    The likelihood shares the total out; the guide sees log(1 + x).

    Lopez, Regier, Cole, Jordan and Yosef 2018, *Deep generative modeling for single-cell
    transcriptomics*.

    >>> counts().latent
    'z'
    """

    def arrange(self, dataset: Dataset, image: tuple[int, ...] | None, seed: int) -> Dataset:
        for split in SPLITS:
            x = getattr(dataset, split)
            wrong = (x < 0) | (x != x.round())
            if bool(wrong.any()):
                place = wrong.nonzero()[0].tolist()
                raise ValueError(
                    f"--program counts takes whole numbers from 0 on, and {split} of "
                    f"{dataset.name} holds {x[tuple(place)].item():.3g} at {place}"
                )
        return dataset

    def default_likelihood(self, dataset: Dataset) -> str | None:
        return "NegativeBinomial"

    def programs(self, parts: Parts) -> VAE:
        if parts.named("likelihood") not in TAKE_TOTALS:
            raise ValueError(
                f"--likelihood {parts.named('likelihood')} takes no totals: choose from "
                f"{', '.join(TAKE_TOTALS)}"
            )
        joint = joint_of_model(_counts)
        posterior = parts.posterior(parts.shape, parts.latent, log_joint=joint)
        prior = parts.prior(parts.latent, posterior=posterior, shape=parts.shape)
        joint.model = Model(prior, parts.likelihood(parts.latent))
        return VAE(joint.model, Guide(posterior))

    def seen(self, guide: Any, x: Tensor, *others: Tensor) -> Tensor:
        return x.log1p()

    def generate(
        self, view: View, n: int, label: int | None = None, mean: bool = True, seed: int = 0
    ) -> Tensor:
        """With the totals of the data, one after the other."""
        totals = view.x.flatten(1).sum(-1)
        return super().generate(replace(view, others=(totals,)), n, label, mean, seed)

    def findings(self, view: View) -> list[Finding]:
        zeros = float((view.x == 0).double().mean())
        made = float((self._replica(view) == 0).double().mean())
        note = f"zeros in what the model makes (data: {zeros:.1%})"
        return [
            Finding("zeros_of_model", made, line("counts", f"{made:.1%}", note)),
            Finding("zeros_of_data", zeros, ""),
        ]

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        import matplotlib.pyplot as plt

        _, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
        for name, x, color in (("data", view.x, "0.15"), ("model", self._replica(view), "C0")):
            array = x.flatten(1).double().cpu().numpy()
            mean = array.mean(0)
            seen = mean > 0
            dots = {"s": 8, "linewidths": 0, "alpha": 0.6, "color": color, "label": name}
            left.scatter(mean[seen], (array.var(0) / mean.clip(1e-12))[seen], **dots)
            right.scatter(mean[seen], (array == 0).mean(0)[seen], **dots)
        rates = np.geomspace(mean[seen].min(), mean.max(), 200)
        curve = {"color": "0.5", "linewidth": 1, "linestyle": ":", "label": "Poisson"}
        left.plot(rates, np.ones_like(rates), **curve)
        right.plot(rates, np.exp(-rates), **curve)
        left.set(xscale="log", yscale="log", ylabel="variance / mean")
        right.set(xscale="log", ylabel="share of zeros")
        right.legend(fontsize=8, frameon=False)
        for ax, title in ((left, "how far it spreads"), (right, "how often it is 0")):
            ax.set_xlabel("mean count")
            ax.set_title(f"each entry of x over the examples: {title}", fontsize=9, loc="left")
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(labelsize=8)
        yield "spread", [left, right]

    def _replica(self, view: View) -> Tensor:
        """Counts drawn for each example from its own z."""
        return evaluation.reconstruct(*view.programs, *view.arguments, samples=True)


def _counts(seen: Tensor) -> tuple[Tensor]:
    """The counts whose log(1 + x) the posterior sees."""
    return (seen.expm1().round(),)
