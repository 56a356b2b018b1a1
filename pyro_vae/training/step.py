"""One step of joint optimisation: a bound, its gradients, the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro.infer import ELBO as PyroELBO
from torch import Tensor
from torch.optim import Optimizer

from pyro_vae.objectives import Objective

from .optimizer import clip_gradients
from .precision import Precision, precise


@dataclass(frozen=True)
class StepResult:
    """Means over the mini-batch, nats per example, of the weights before the step.

    Attributes:
        loss: what was minimised: the negative bound.
        elbo, reconstruction, kl: the plain ELBO and its parts, ``None`` where the objective is
            Pyro's own and does not tell them apart.
    """

    loss: Tensor
    elbo: Tensor | None = None
    reconstruction: Tensor | None = None
    kl: Tensor | None = None

    def values(self) -> dict[str, Tensor]:
        """What is known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def reads_at_once(device: torch.device) -> bool:
    """Whether a value is there as soon as it is asked for; a GPU would have to be waited for."""
    return device.type == "cpu"


class EagerStep:
    """The loss's gradient by autograd, then the optimiser's step: what ``pyro.infer.SVI`` does.

    The loss is divided by the size of the mini-batch, so that learning rates and clipping mean
    the same for every size. On the CPU a loss that is not finite changes nothing; on a GPU
    nobody waits for its value.

    Args:
        model, guide: the programs.
        objective: ours or Pyro's.
        optimizer: over every parameter that is to change.
        clip_norm: greatest joint norm of the gradient, ``None`` for no limit.
        precision: of the networks, see :func:`precise`.

    Attributes:
        frozen: name of the group of parameters that the next steps leave as it is, if any.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        objective: PyroELBO,
        optimizer: Optimizer,
        clip_norm: float | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.model, self.guide = model, guide
        self.objective = objective
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.precision = precision
        self.frozen: str | None = None

    def __call__(self, *batch: Tensor) -> StepResult:
        """Take one step on the parts of a mini-batch."""
        self.optimizer.zero_grad(set_to_none=True)
        result = self._gradients(*batch)
        # Elsewhere the loop looks now and then.
        if reads_at_once(result.loss.device) and not math.isfinite(result.loss):
            return result
        for group in self.optimizer.param_groups:
            if self.frozen is not None and group.get("name") == self.frozen:
                for parameter in group["params"]:
                    parameter.grad = None  # an optimiser leaves what has no gradient
        if self.clip_norm is not None:
            clip_gradients(self.optimizer, self.clip_norm)
        self.optimizer.step()
        return result

    def _gradients(self, *batch: Tensor) -> StepResult:
        with precise(self.precision):
            return self._loss_and_gradients(*batch)

    def _loss_and_gradients(self, *batch: Tensor) -> StepResult:
        n = len(batch[0])
        if isinstance(self.objective, Objective):
            terms = self.objective.terms(self.model, self.guide, *batch)
            loss = -self.objective.bound(terms) / n
            loss.backward()
            split = self.objective.split(terms)
            means = (split.elbo.mean(), split.reconstruction.mean(), split.kl.mean())
            return StepResult(loss.detach(), *means)
        # Pyro's objectives run backward themselves, and some have no differentiable loss.
        loss = self.objective.loss_and_grads(  # type: ignore[attr-defined]
            self.model, self.guide, *batch
        )
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(n)
        return StepResult(torch.as_tensor(loss, dtype=torch.float64).detach() / n)
