"""The training loop: epochs of steps, each followed by what is measured, kept and shown."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_vae.objectives import Objective

from .arguments import transformed
from .batches import batches
from .diagnosis import find_nonfinite
from .errors import TrainingError
from .interrupt import Interrupt
from .keeper import Keeper
from .loggers import Logger
from .monitor import Monitor
from .progress import Progress
from .run import Run
from .step import EagerStep, StepResult, reads_at_once
from .validation import latent_information, validation_elbo

#: On a GPU a loss is read only now and then, so that the device does not wait for Python.
LOOK_EVERY = 50
_RATES = {"phi": "lr_guide", "critic": "lr_critic"}


@dataclass
class Loop:
    """Runs epochs on the state of a run; a resumed one begins within an epoch.

    Attributes:
        good: the last weights that were seen to be finite, and their step.
        monitor: warns when the latent's units die.
    """

    run: Run
    step: EagerStep
    train: tuple[Tensor, ...]
    valid: tuple[Tensor, ...] | None
    transform: Callable[[Tensor], Tensor] | None
    keeper: Keeper
    loggers: tuple[Logger, ...]
    good: tuple[int, dict[str, Any]] = field(init=False)
    monitor: Monitor = field(init=False)

    def __post_init__(self) -> None:
        self.monitor = Monitor(self.step.guide)

    def __call__(
        self, epochs: int, patience: int | None, bar: Progress, interrupt: Interrupt
    ) -> None:
        """Run until this many epochs are complete, or validation has not improved for long."""
        run = self.run
        self.good = (run.step, run.weights.state())
        # The programs were checked; checking every value again would double the cost of a step.
        with pyro.validation_enabled(False), warnings.catch_warnings():
            # Pyro's objectives warn; here it is an error that says where.
            warnings.filterwarnings("ignore", "Encountered (NaN|inf)")
            while run.epoch < epochs and not run.tired(patience):
                began = time.monotonic()
                try:
                    batch = self._steps(interrupt, bar)
                except TrainingError:
                    run.weights.load(self.good[1])
                    raise
                finally:
                    run.seconds += time.monotonic() - began
                row = self._close(batch)
                bar.epoch({"elbo": -row["loss"], **row})
                # Before the checkpoint: a row that is logged twice after a crash can be told by
                # its step, one that is missing cannot be had again.
                for logger in self.loggers:
                    logger.log(row, run.step)
                done = run.epoch == epochs or run.tired(patience)
                if done or run.epoch % self.keeper.every == 0:
                    self.keeper.save(run)

    def _steps(self, interrupt: Interrupt, bar: Progress) -> tuple[Tensor, ...]:
        """Take the steps that are left of this epoch, and give one of its mini-batches."""
        run, device = self.run, self.train[0].device
        seed, size = run.settings["seed"], run.settings["batch_size"]
        seen: tuple[Tensor, ...] = ()
        order = list(batches(len(self.train[0]), size, seed, run.epoch, device))
        for number, index in enumerate(order[run.position :], run.position + 1):
            if interrupt.requested:
                self._note_good()
                self.keeper.save(run)
                raise KeyboardInterrupt(f"stopped after step {run.step}{self.keeper}")
            batch = transformed(tuple(t[index] for t in self.train), self.transform)
            # The last one of an epoch may be small.
            seen = batch if not seen or len(batch[0]) == len(seen[0]) else seen
            before = torch.get_rng_state()
            if isinstance(self.step.objective, Objective):
                self.step.objective.advance(run.step)
            self.step.frozen = run.strategy.frozen(run.step)
            result = self._take(batch)
            run.add(result.values(), len(index))
            look = reads_at_once(device) or number % LOOK_EVERY == 0 or number == len(order)
            # The sum: it is not finite once any of the losses was not.
            if look and not math.isfinite(run.sums["loss"]):
                torch.set_rng_state(before)
                raise self._nonfinite(result, batch)
            if run.strategy.needs_information:  # a GPU is waited for
                run.strategy.note_loss(float(result.loss))
            run.scheduler.step()
            elbo = -result.loss if result.elbo is None else result.elbo
            bar.step(elbo, result.reconstruction, result.kl)
        self._note_good()
        return seen

    def _note_good(self) -> None:
        bad = next(self.run.weights.nonfinite(), None)
        if bad is not None:
            raise self._error(f"parameter {bad!r} is not finite after step {self.run.step}")
        self.good = (self.run.step, self.run.weights.state())

    def _take(self, batch: tuple[Tensor, ...]) -> StepResult:
        try:
            return self.step(*batch)
        except (ValueError, RuntimeError) as error:
            # Some draws and decompositions refuse parameters that are not finite.
            bad = next(self.run.weights.nonfinite(), None)
            if bad is None:
                raise
            line = str(error).splitlines()[0]
            text = f"parameter {bad!r} is not finite at step {self.run.step + 1} ({line})"
            raise self._error(text) from error

    def _close(self, batch: tuple[Tensor, ...]) -> dict[str, float]:
        run = self.run
        means = run.close_epoch()
        row: dict[str, float] = {"epoch": run.epoch, "step": run.step, **means}
        if self.valid is not None:
            row |= validation_elbo(self.step.model, self.step.guide, self.valid)
            run.note_validation(row["valid_elbo"])
        if run.strategy.needs_information:
            information = latent_information(
                self.step.model, self.step.guide, self.train, self.transform
            )
            row |= {"information": information}
            run.strategy.end_epoch(information)
        self.monitor.look(batch, run.step, run.epoch)
        first = run.optimizer.param_groups[0]
        if isinstance(self.step.objective, Objective):
            row |= self.step.objective.weights()
            for warning in self.step.objective.warnings():
                warnings.warn(warning, stacklevel=2)
        row |= {"seconds": run.seconds, "lr": first["lr"]}
        for group in run.optimizer.param_groups[1:]:
            name = _RATES.get(group.get("name", ""))
            if name is not None and group["initial_lr"] != first["initial_lr"]:
                row[name] = group["lr"]
        run.history.append(**row)
        return row

    def _nonfinite(self, result: StepResult, batch: tuple[Tensor, ...]) -> TrainingError:
        weights = self.run.weights
        where = find_nonfinite(self.step.model, self.step.guide, batch, weights.nonfinite())
        loss, step = result.loss.item(), self.run.step
        what = f"a loss before step {step} was not finite"
        if not math.isfinite(loss):
            what = f"the loss is {loss} at step {step}"
        return self._error(f"{what}: {where}")

    def _error(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} (epoch {self.run.epoch + 1}); the weights are again those after step "
            f"{self.good[0]}{self.keeper}; try a smaller lr, or clip_norm"
        )
