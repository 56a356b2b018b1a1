"""The linear VAE, beside its exact solution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pyro_vae.data import Dataset
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE
from pyro_vae.programs.linear import ExactGuide, Guide, Model
from pyro_vae.programs.solutions import factor_analysis, principal_components

from .base import Family
from .grids import grid
from .parts import Parts
from .view import Finding, View, line

ITS_OWN = "model and guide are linear, with no networks"


class linear(Family):
    """Linear maps and normal noise: probabilistic PCA and factor analysis, known exactly.

    Beside the bound that is reached stand the exact log-likelihood of that model, and that of the
    best one, which needs no training. Its few parameters bear a high rate, --lr 0.01.

    Tipping and Bishop 1999, *Probabilistic Principal Component Analysis*; Rubin and Thayer 1982,
    *EM Algorithms for ML Factor Analysis*.

    Args:
        noise: one variance for all features (PCA), or one for each (factor analysis).
        exact_guide: take the exact p(z|x) for the guide, in place of a linear one.

    >>> linear().noise
    'shared'
    """

    unused: ClassVar[dict[str, str]] = {
        "prior": "z is standard normal",
        "likelihood": "x is normal: give --program.noise",
        "posterior": "it is a diagonal normal with a linear mean, or --program.exact_guide",
        "encoder": ITS_OWN,
        "decoder": ITS_OWN,
    }

    def __init__(
        self, noise: Literal["shared", "per-feature"] = "shared", exact_guide: bool = False
    ) -> None:
        self.noise: Literal["shared", "per-feature"] = noise
        self.exact_guide = exact_guide

    def arrange(self, dataset: Dataset, image: tuple[int, ...] | None, seed: int) -> Dataset:
        dataset = dataset.flatten()
        still = dataset.train.std(0) == 0
        if self.noise == "per-feature" and bool(still.any()):
            feature = int(still.nonzero()[0])
            raise ValueError(
                f"feature {feature} of {dataset.name} never varies, so that its noise would shrink "
                "without end: leave it out, or give --program.noise shared"
            )
        return dataset

    def programs(self, parts: Parts) -> VAE:
        features = torch.Size(parts.shape).numel()
        if parts.latent >= features:
            raise ValueError(
                f"--latent {parts.latent} is not below the {features} features of x, so that the "
                "noise would have nothing left: take fewer"
            )
        model = Model(features, parts.latent, self.noise)
        return VAE(model, ExactGuide(model) if self.exact_guide else Guide(features, parts.latent))

    def begin(self, programs: VAE, x: Tensor, *others: Tensor) -> None:
        model: Any = programs.model
        spread = x.std(0) if self.noise == "per-feature" else x.var(0).mean().sqrt()
        with torch.no_grad():
            model.b.copy_(x.mean(0))
            model.log_scale.copy_(spread.log())
            model.W.mul_(spread.expand(len(model.W))[:, None])

    def prior_of(self, model: Any) -> Any:
        return StandardNormal(model.W.shape[1])

    def findings(self, view: View) -> list[Finding]:
        reached, error = _likelihood(view.model, view.x)
        best, _ = _likelihood(self._solved(view), view.x)
        note = f"± {error:.2f} nats, exactly (best solution: {best:.2f})"
        return [
            Finding("log_likelihood", reached, line("log-likelihood", f"{reached:.2f}", note)),
            Finding("best_log_likelihood", best, ""),
        ]

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        if view.image is None:
            return
        trained, solved = (_loadings(model) for model in (view.model, self._solved(view)))
        # A column's sign means nothing: take that of the other's.
        alike = (trained * solved).sum(1, keepdim=True) >= 0
        x = torch.stack([torch.where(alike, trained, -trained), solved])[:, :12] / 2 + 0.5
        title = "loadings (columns of W) from most to least: blue above 0, red below"
        signed = replace(view, look={**view.look, "cmap": "RdBu", "vmin": 0.0, "vmax": 1.0})
        yield "loadings", grid(signed, x, title, ["trained", "solved"])

    def _solved(self, view: View) -> Model:
        solve = principal_components if self.noise == "shared" else factor_analysis
        return solve(view.train, view.model.W.shape[1])


def _likelihood(model: Model, x: Tensor) -> tuple[float, float]:
    """Mean over the examples of log p(x), exactly, and its standard error."""
    with torch.no_grad():
        each = model.evidence().log_prob(x).double()
    return float(each.mean()), float(each.std() / len(each) ** 0.5)


def _loadings(model: Model) -> Tensor:
    """Columns of W in the rotation whose posterior has independent latents, each in [-1, 1]."""
    with torch.no_grad():
        noise = model.log_scale.exp().expand(len(model.W))[:, None]
        U, S, _ = torch.linalg.svd(model.W / noise, full_matrices=False)
        columns = (U * S * noise).mT
    largest = columns.gather(1, columns.abs().argmax(1, keepdim=True))
    return columns / largest
