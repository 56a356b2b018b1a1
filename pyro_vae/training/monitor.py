"""A look at the latent after each epoch: whether its units die."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_vae.objectives.remedies import remedies
from pyro_vae.terms import untouched_randomness

from .modules import evaluation_mode

ACTIVE = 0.01  # variance of the posterior mean over the examples, as Burda et al. 2016 have it
FEW = 0.05  # part of the units below which one speaks of collapse
PATIENCE = 500  # steps before the first look


class CollapseWarning(UserWarning):
    """The latent says next to nothing about the data."""


@dataclass
class Monitor:
    """Warns once in a run when fewer than 5 % of the latent's units are active.

    Active units are those whose posterior mean varies over the examples by more than 0.01
    (Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders*). Families without
    a mean in closed form are not looked at.
    """

    guide: Callable[..., Any]
    spoken: bool = False

    def look(self, data: tuple[Tensor, ...], step: int, epoch: int) -> None:
        """After an epoch, at one mini-batch; random numbers and modes stay as they are."""
        if self.spoken or step < PATIENCE or not data:
            return
        latents = self._latents(data)
        if not latents:
            return
        name, site = next(iter(latents.items()))
        means = _means(site, len(data[0]))
        if means is None or len(means) < 2 or means.isnan().any():
            return
        active = int((means.var(0) > ACTIVE).sum())
        if active < FEW * means.shape[1]:
            self.spoken = True
            others = [other for other in latents if other != name]
            cures = remedies(name, others, site["fn"].has_enumerate_support)
            warnings.warn(
                f"after epoch {epoch} only {active} of {means.shape[1]} units of the latent "
                f"{name!r} are active: its posterior is about to collapse onto the prior. "
                f"Remedies: {'; '.join(cures)}. See evaluation.collapse_report",
                CollapseWarning,
                stacklevel=2,
            )

    def _latents(self, data: tuple[Tensor, ...]) -> dict[str, Any]:
        """The guide's own record of its latents, by name, the first one first."""
        if isinstance(poutine.unwrap(self.guide), Messenger):  # it runs the model, too
            return {}
        quiet = pyro.validation_enabled(False)
        with torch.no_grad(), evaluation_mode(self.guide), untouched_randomness(), quiet:
            nodes: dict[str, Any] = poutine.trace(self.guide).get_trace(*data).nodes
        return {
            name: site
            for name, site in nodes.items()
            if site["type"] == "sample"
            and not site["is_observed"]
            and hasattr(site["fn"], "event_shape")
        }


def _means(site: Any, examples: int) -> Tensor | None:
    """Posterior means of a latent, ``(examples, latent)``; ``None`` where it has none."""
    try:
        mean: Tensor = site["fn"].mean
    except NotImplementedError:
        return None
    one_each = mean.dim() > 0 and len(mean) == examples
    return mean.reshape(examples, -1) if one_each else None
