"""Adam, AdamW and Pyro's ClippedAdam, one fused operation for many parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from pyro.optim.clipped_adam import ClippedAdam
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

_SHARED = (
    "lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "clip_norm", "lrd",
    "decoupled_weight_decay",
)  # fmt: skip
#: A parameter, its optimiser, and the group of options that it is in.
Owned = tuple[Tensor, Optimizer, dict[str, Any]]


class AdamGroup:
    """Parameters whose options, device and type are the same; their state stays the optimiser's.

    Args:
        places: the place of each parameter among all.
        owned: the parameters.

    Kingma and Ba 2015, *Adam: A Method for Stochastic Optimization*; Loshchilov and Hutter 2019,
    *Decoupled Weight Decay Regularization*.
    """

    def __init__(self, places: list[int], owned: list[Owned]) -> None:
        self.places = places
        self.leaves = [leaf for leaf, _, _ in owned]
        self.options = owned[0][2]
        # One dict of options for each parameter (Pyro), or one for several.
        self._all_options = list({id(options): options for _, _, options in owned}.values())
        self._clipped = isinstance(owned[0][1], ClippedAdam)
        self.states = [optimizer.state[leaf] for leaf, optimizer, _ in owned]
        self._means = [state["exp_avg"] for state in self.states]
        self._squares = [state["exp_avg_sq"] for state in self.states]
        self._greatest = [s["max_exp_avg_sq"] for s in self.states if "max_exp_avg_sq" in s]
        self._lr: Tensor | None = None
        if self.leaves[0].is_cuda and not self._clipped:
            self._lr = torch.tensor(0.0, device=self.leaves[0].device)
            for state in self.states:
                state["step"] = state["step"].to(self.leaves[0].device)
            for options in self._all_options:
                options["capturable"] = True  # so that the optimiser itself takes such a state

    @property
    def capturable(self) -> bool:
        """Whether ``step`` can be part of a CUDA graph."""
        return self._lr is not None

    def tensors(self) -> list[Tensor]:
        """What ``step`` changes besides the parameters."""
        return [value for state in self.states for value in state.values() if _is_tensor(value)]

    def refresh(self) -> None:
        """Copy the learning rate to where a captured ``step`` reads it."""
        if self._lr is not None:
            self._lr.fill_(self.options["lr"])

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move the parameters."""
        options, eps = self.options, self.options["eps"]
        gradients = list(gradients)
        if self._clipped:
            torch._foreach_clamp_max_(gradients, options["clip_norm"])
            torch._foreach_clamp_min_(gradients, -options["clip_norm"])
            for own in self._all_options:
                own["lr"] *= own["lrd"]
            for state in self.states:
                state["step"] += 1
            number = self.states[0]["step"]
            steps = [torch.tensor(float(number), device=self.leaves[0].device)] * len(self.leaves)
            # There eps is added to the root before its bias is corrected, here after.
            eps /= math.sqrt(1 - options["betas"][1] ** number)
        else:
            steps = [state["step"] for state in self.states]
            torch._foreach_add_(steps, 1)
        decoupled = options.get("decoupled_weight_decay", False)
        (torch._fused_adamw_ if decoupled else torch._fused_adam_)(
            self.leaves, gradients, self._means, self._squares, self._greatest, steps,
            lr=options["lr"] if self._lr is None else self._lr,
            beta1=options["betas"][0], beta2=options["betas"][1],
            weight_decay=options["weight_decay"], eps=eps,
            amsgrad=bool(self._greatest), maximize=options.get("maximize", False),
        )  # fmt: skip


def groupable(owned: Owned) -> bool:
    """Whether a parameter can be stepped this way: the family, once stepped, nothing special."""
    leaf, optimizer, options = owned
    return (
        type(optimizer) in (Adam, AdamW, ClippedAdam)
        and not (optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)
        and not (options.get("differentiable") or options.get("centered_variance"))
        and not isinstance(options["lr"], Tensor)
        and leaf.is_floating_point()
        and "step" in optimizer.state.get(leaf, {})
    )


def group_key(owned: Owned) -> tuple[Any, ...]:
    """What parameters of one group have in common."""
    leaf, optimizer, options = owned
    number = optimizer.state[leaf]["step"]
    shared = tuple(sorted((k, v) for k, v in options.items() if k in _SHARED))
    # A step of their own is kept in tensors; ClippedAdam's is a number, and in the formula.
    return type(optimizer), leaf.device, leaf.dtype, shared, None if _is_tensor(number) else number


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
