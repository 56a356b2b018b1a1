"""The training loop: epochs of steps, each followed by what is measured, kept and shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyro
import torch
from torch import Tensor

from . import checkpoint as files
from .batches import batches
from .diagnosis import find_nonfinite
from .errors import TrainingError
from .examine import transformed
from .interrupt import Interrupt, held_back
from .loggers import Logger
from .progress import Progress
from .run import Run
from .step import EagerStep, StepResult
from .validation import validation_elbo

#: On a GPU a loss is read only now and then, so that the device does not wait for Python.
LOOK_EVERY = 50


@dataclass
class Loop:
    """Runs epochs on the state of a run; a resumed one begins within an epoch."""

    run: Run
    step: EagerStep
    train: tuple[Tensor, ...]
    valid: tuple[Tensor, ...] | None
    transform: Callable[[Tensor], Tensor] | None
    parameters: dict[str, Tensor]
    checkpoint: Path | None
    checkpoint_every: int
    loggers: tuple[Logger, ...]

    def __call__(self, epochs: int, patience: int | None, bar: Progress) -> None:
        """Run until this many epochs are complete, or validation has not improved for long."""
        run = self.run
        good = run.weights.state()
        # The programs were checked; checking every value again would double the cost of a step.
        with held_back() as interrupt, pyro.validation_enabled(False):
            while run.epoch < epochs and not self._tired(patience):
                began = time.monotonic()
                try:
                    self._steps(interrupt, bar)
                except TrainingError:
                    run.weights.load(good)
                    raise
                finally:
                    run.seconds += time.monotonic() - began
                row = self._close()
                bar.epoch(row)
                good = run.weights.state()
                done = run.epoch == epochs or self._tired(patience)
                if done or run.epoch % self.checkpoint_every == 0:
                    self._save()
                for logger in self.loggers:
                    logger.log(row, run.step)

    def _tired(self, patience: int | None) -> bool:
        return patience is not None and self.run.epoch - self.run.best_epoch >= patience

    def _steps(self, interrupt: Interrupt, bar: Progress) -> None:
        run, device = self.run, self.train[0].device
        n, seed, size = (run.settings[name] for name in ("examples", "seed", "batch_size"))
        order = list(batches(n, size, seed, run.epoch, device))
        for number, index in enumerate(order[run.position :], run.position + 1):
            if interrupt.requested:
                self._save()
                raise KeyboardInterrupt
            batch = transformed(tuple(t[index] for t in self.train), self.transform)
            before = torch.get_rng_state()
            result = self.step(*batch)
            look = device.type == "cpu" or number % LOOK_EVERY == 0 or number == len(order)
            if look and not torch.isfinite(result.loss):
                torch.set_rng_state(before)
                raise self._nonfinite(result, batch)
            run.scheduler.step()
            run.add(result.values(), len(index))
            elbo = -result.loss if result.elbo is None else result.elbo
            bar.step(elbo, result.reconstruction, result.kl)

    def _close(self) -> dict[str, float]:
        run = self.run
        means = run.close_epoch()
        row: dict[str, float] = {"epoch": run.epoch, "step": run.step, **means}
        if self.valid is not None:
            row |= validation_elbo(self.step.model, self.step.guide, self.valid)
            run.note_validation(row["valid_elbo"])
        groups = run.optimizer.param_groups
        row |= {"seconds": run.seconds, "lr": groups[0]["lr"]}
        if groups[-1]["lr"] != groups[0]["lr"]:
            row["lr_guide"] = groups[-1]["lr"]
        run.history.append(**row)
        return row

    def _save(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            files.save(self.checkpoint, self.run.state_dict())

    def _nonfinite(self, result: StepResult, batch: tuple[Tensor, ...]) -> TrainingError:
        where = find_nonfinite(self.step.model, self.step.guide, batch, self.parameters)
        run = self.run
        kept = f"the weights are those after epoch {run.epoch}"
        if self.checkpoint is not None and self.checkpoint.exists():
            kept += f", also in {self.checkpoint}"
        return TrainingError(
            f"the loss is {result.loss.item()} at step {run.step + 1} (epoch {run.epoch + 1}): "
            f"{where}; {kept}; try a smaller lr, or clip_norm"
        )
