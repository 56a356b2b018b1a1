"""The state of a run: everything that decides what the next step does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .checkpoint import CheckpointError
from .history import History
from .randomness import rng_state, set_rng_state
from .schedule import go_to_step
from .settings import check_resumed
from .step import reads_at_once
from .strategy import Joint, Strategy
from .weights import Weights


@dataclass
class Run:
    """What a checkpoint holds.

    Attributes:
        settings: what must be the same when the run resumes.
        strategy: which parameters the next step moves.
        epoch: epochs that are complete.
        step: optimiser steps taken.
        position: steps taken in the present epoch.
        count: examples seen in the present epoch.
        sums: over these examples, of what the steps measured.
        seconds: spent in steps.
        best_elbo, best_epoch, best: of the validation ELBO, and the weights there.
    """

    weights: Weights
    optimizer: Optimizer
    scheduler: LambdaLR
    settings: dict[str, Any]
    strategy: Strategy = field(default_factory=Joint)
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    position: int = 0
    count: int = 0
    sums: dict[str, Tensor | float] = field(default_factory=dict)
    seconds: float = 0.0
    best_elbo: float = -math.inf
    best_epoch: int = 0
    best: dict[str, Any] | None = None

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Add one step's means to the sums of the epoch; a GPU is not waited for."""
        self.step += 1
        self.position += 1
        self.count += count
        for name, value in values.items():
            # On the CPU numbers, since each small operation on tensors costs microseconds.
            mean = value.item() if reads_at_once(value.device) else value.detach().double()
            self.sums[name] = self.sums.get(name, 0.0) + mean * count

    def close_epoch(self) -> dict[str, float]:
        """The means over the epoch, and a fresh start for the next."""
        means = {name: float(total) / self.count for name, total in self.sums.items()}
        self.epoch += 1
        self.position, self.count, self.sums = 0, 0, {}
        return means

    def note_validation(self, elbo: float) -> None:
        """Keep the weights if they are the best yet."""
        if math.isfinite(elbo) and elbo > self.best_elbo:
            self.best_elbo, self.best_epoch = elbo, self.epoch
            self.best = self.weights.state()

    def tired(self, patience: int | None) -> bool:
        """Whether validation has not become better for this many epochs."""
        return patience is not None and self.epoch - self.best_epoch >= patience

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
            "strategy": self.strategy.state_dict(),
            "rng": rng_state(),
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    def load_state_dict(self, state: Mapping[str, Any], epochs: int) -> None:
        """Go on from a state, random numbers included, to this number of epochs.

        Raises, before it changes anything, :class:`CheckpointError` where something is missing,
        ``ValueError`` where the state is of other programs, of a run with other settings, or has
        more epochs.
        """
        missing = [name for name in _PARTS if name not in state]
        if missing:
            raise CheckpointError(f"the checkpoint is not of a run: it lacks {missing[0]!r}")
        check_resumed(json.loads(state["settings"]), self.settings)
        begun = state["epoch"] + (state["position"] > 0)
        if begun > epochs:
            raise ValueError(f"the checkpoint is in epoch {begun} already, and epochs={epochs}")
        self.weights.load(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        # With more epochs the schedule is the longer run's, from this step on.
        go_to_step(self.scheduler, state["step"])
        self.history.load_state_dict(state["history"])
        self.sums = dict(state["sums"])
        self.strategy.load_state_dict(state["strategy"])
        self.best = state["best"]
        for name in _NUMBERS:
            setattr(self, name, state[name])
        set_rng_state(state["rng"])


_NUMBERS = ("epoch", "step", "position", "count", "seconds", "best_elbo", "best_epoch")
_PARTS = (
    *(
        "settings",
        "weights",
        "best",
        "optimizer",
        "scheduler",
        "history",
        "sums",
        "rng",
        "strategy",
    ),
    *_NUMBERS,
)


def _plain_schedule(scheduler: LambdaLR) -> dict[str, Any]:
    """Numbers alone: the functions of a schedule are given anew on resume."""
    state: dict[str, Any] = scheduler.state_dict()
    return {k: v for k, v in state.items() if not _holds_function(v)}


def _holds_function(value: Any) -> bool:
    items: Any = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Callable) for item in items)  # type: ignore[arg-type]
