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
        means = self._means(data)
        if means is None or len(means) < 2 or means.isnan().any():
            return
        active = int((means.var(0) > ACTIVE).sum())
        if active < FEW * means.shape[1]:
            self.spoken = True
            warnings.warn(
                f"after epoch {epoch} only {active} of {means.shape[1]} latent units are active: "
                "the posterior is about to collapse onto the prior. Remedies: warm the KL up, "
                "objective=BetaELBO(Linear(2000)); give each unit some nats for free, "
                "objective=FreeBits(0.1); let the guide catch up, strategy=Aggressive(). See "
                "evaluation.collapse_report",
                CollapseWarning,
                stacklevel=2,
            )

    def _means(self, data: tuple[Tensor, ...]) -> Tensor | None:
        """Posterior means of the guide's first latent, ``(examples, latent)``."""
        if isinstance(poutine.unwrap(self.guide), Messenger):  # it runs the model, too
            return None
        quiet = pyro.validation_enabled(False)
        with torch.no_grad(), evaluation_mode(self.guide), untouched_randomness(), quiet:
            nodes: dict[str, Any] = poutine.trace(self.guide).get_trace(*data).nodes
        for site in nodes.values():
            if site["type"] != "sample" or not hasattr(site["fn"], "event_shape"):
                continue
            try:
                mean: Tensor = site["fn"].mean
            except NotImplementedError:
                return None
            one_each = mean.dim() > 0 and len(mean) == len(data[0])
            return mean.reshape(len(mean), -1) if one_each else None
        return None
