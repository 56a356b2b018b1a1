"""The state of a run: everything that decides what the next step does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .checkpoint import CheckpointError, rng_state, set_rng_state
from .history import History
from .settings import check_resumed
from .weights import Weights


@dataclass
class Run:
    """What a checkpoint holds, besides the best weights so far.

    Attributes:
        epoch: epochs that are complete.
        step: optimiser steps taken.
        position: steps taken in the present epoch.
        sums: of what the steps of the present epoch measured, weighted by batch size.
        best_elbo, best_epoch, best: of the validation ELBO, and the weights there.
    """

    weights: Weights
    optimizer: Optimizer
    scheduler: LRScheduler
    settings: dict[str, Any]
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    position: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    best_elbo: float = -math.inf
    best_epoch: int = 0
    best: dict[str, Any] | None = None

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Add one step's means to the sums of the epoch; nothing is read, no device waits."""
        self.step += 1
        self.position += 1
        for name, value in {**values, "count": torch.tensor(1.0)}.items():
            term = value.detach().double() * count
            self.sums[name] = self.sums[name] + term if name in self.sums else term

    def close_epoch(self) -> dict[str, float]:
        """The means over the epoch, and a fresh start for the next."""
        count = self.sums.pop("count").item()
        means = {name: total.item() / count for name, total in self.sums.items()}
        self.epoch += 1
        self.position, self.sums = 0, {}
        return means

    def note_validation(self, elbo: float) -> None:
        """Keep the weights if they are the best yet."""
        if elbo > self.best_elbo:
            self.best_elbo, self.best_epoch = elbo, self.epoch
            self.best = self.weights.state()

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain data for :func:`pyro_vae.training.checkpoint.save`."""
        return {
            "settings": json.dumps(self.settings),
            "weights": self.weights.state(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": _plain_schedule(self.scheduler),
            "history": self.history.state_dict(),
            "sums": self.sums,
            "rng": rng_state(),
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, random numbers included.

        Raises :class:`CheckpointError` where something is missing, ``ValueError`` where the
        state is of other programs or of a run with other settings.
        """
        missing = {"settings", "weights", "optimizer", "scheduler", "rng", *_NUMBERS} - set(state)
        if missing:
            raise CheckpointError(
                f"the checkpoint is not of a run: it lacks {sorted(missing)[0]!r}"
            )
        check_resumed(json.loads(state["settings"]), self.settings)
        self.weights.load(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.history.load_state_dict(state["history"])
        self.sums = dict(state["sums"])
        self.best = state["best"]
        for name in _NUMBERS:
            setattr(self, name, state[name])
        set_rng_state(state["rng"])


_NUMBERS = ("epoch", "step", "position", "seconds", "best_elbo", "best_epoch")


def _plain_schedule(scheduler: LRScheduler) -> dict[str, Any]:
    """Numbers alone: the functions of a schedule are given anew on resume."""
    state: dict[str, Any] = scheduler.state_dict()
    return {k: v for k, v in state.items() if not _holds_function(v)}


def _holds_function(value: Any) -> bool:
    items: Any = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Callable) for item in items)  # type: ignore[arg-type]
