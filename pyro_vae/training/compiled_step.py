"""The step of :func:`fit`, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyro.infer import ELBO as PyroELBO
from torch import Tensor
from torch.optim import Optimizer

from .entry import Entry
from .lowering import Backend
from .optimizer import clip_gradients
from .owners import Gradients, JointOwner
from .precision import Precision
from .staged_function import StagedFunction
from .step import EagerStep, StepResult
from .updates import Updates


class CompiledStep(EagerStep):
    """What :class:`EagerStep` does, with the loss and its gradients as one compiled function.

    The programs have been run before, so the first step is already compiled: a run that is
    resumed does what the whole run would have done. What cannot be compiled runs eagerly, as
    :class:`CompiledSVI` says. On a GPU the optimiser is part of the same CUDA graph.

    Args:
        model, guide, objective, optimizer, clip_norm, precision: as in :class:`EagerStep`.
        batch_size: compile batches of this size only, as the last of an epoch may be a smaller
            one; ``None`` for any size.
        joint: whether every step moves all parameters; ``frozen`` needs False.
        strict, backend, listener: as in :class:`CompiledSVI`.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        objective: PyroELBO,
        optimizer: Optimizer,
        clip_norm: float | None = None,
        precision: Precision = "float32",
        *,
        batch_size: int | None = None,
        joint: bool = True,
        strict: bool = False,
        backend: Backend = "inductor",
        listener: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(model, guide, objective, optimizer, clip_norm, precision)
        self.batch_size = batch_size
        self._leaves = [leaf for group in optimizer.param_groups for leaf in group["params"]]
        # In one graph with the gradients, unless some steps leave a part of the parameters.
        self._whole = joint and any(leaf.is_cuda for leaf in self._leaves)
        self._function = StagedFunction(
            self._evaluate,
            (model, guide, objective),
            self._finish,
            "the compiled step",
            strict=strict,
            backend=backend,
            # Only an optimiser that has stepped has the state that a CUDA graph holds.
            leaves=None if self._whole else self._leaves,
            listener=listener,
        )

    @property
    def compilations(self) -> int:
        """How many functions have been compiled."""
        return self._function.compilations

    @property
    def compile_seconds(self) -> float:
        """The time spent on it."""
        return self._function.compile_seconds

    def __call__(self, *batch: Tensor) -> StepResult:
        """Take one step on the parts of a mini-batch."""
        if self._whole:
            entry = self._find(batch)
            if entry is not None:
                return StepResult(*entry(self._function.tensors))
            result = super().__call__(*batch)
            if self._wanted(batch):
                self._function.met(self._leaves)
            return result
        return super().__call__(*batch)

    def _gradients(self, *batch: Tensor) -> StepResult:
        entry = None if self._whole else self._find(batch)
        if entry is not None:
            return StepResult(*entry(self._function.tensors))
        result = super()._gradients(*batch)
        if self._wanted(batch) and not self._whole:
            self._function.met(self._leaves)
        return result

    def _wanted(self, batch: tuple[Tensor, ...]) -> bool:
        return self.batch_size is None or len(batch[0]) == self.batch_size

    def _find(self, batch: tuple[Tensor, ...]) -> Entry | None:
        return self._function.find(batch, {}) if self._wanted(batch) else None

    def _evaluate(self, *batch: Tensor) -> tuple[Tensor | None, ...]:
        result = super()._gradients(*batch)
        return result.loss, result.elbo, result.reconstruction, result.kl

    def _finish(self, leaves: list[Tensor], reached: list[bool]) -> _Assign:
        if not self._whole:
            return _Assign(leaves)
        return _ClipAndStep(leaves, reached, self.optimizer, self.clip_norm)


class _Assign:
    """Leaves the gradients where the optimiser looks for them."""

    def __init__(self, leaves: list[Tensor]) -> None:
        self.leaves = leaves

    @property
    def capturable(self) -> bool:
        return False

    def prepare(self) -> bool:
        return True

    def tensors(self) -> list[Tensor]:
        return []

    def __call__(self, gradients: Gradients) -> None:
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            leaf.grad = gradient


class _ClipAndStep(_Assign):
    """All that follows the gradients."""

    def __init__(
        self, leaves: list[Tensor], reached: list[bool], optimizer: Optimizer, norm: float | None
    ) -> None:
        super().__init__(leaves)
        self.optimizer, self.norm = optimizer, norm
        self.updates = Updates(JointOwner(optimizer), leaves, reached)

    @property
    def capturable(self) -> bool:
        return self.updates.capturable

    def prepare(self) -> bool:
        return self.updates.prepare()

    def tensors(self) -> list[Tensor]:
        return self.updates.tensors()

    def __call__(self, gradients: Gradients) -> None:
        if self.norm is not None:
            super().__call__(gradients)
            clip_gradients(self.optimizer, self.norm)
            gradients = [leaf.grad for leaf in self.leaves]
        self.updates(gradients)
