"""Who holds the optimisers of the parameters, and steps them in the general way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pyro
from pyro.infer.util import zero_grads
from pyro.optim import PyroOptim
from torch import Tensor
from torch.optim import Optimizer

from .adam_group import Owned

Gradients = Sequence[Tensor | None]
Factory = Callable[[list[Tensor]], Optimizer]


class Owner(Protocol):
    """Holds the optimisers and their state."""

    def of(self, leaf: Tensor) -> Owned | None:
        """The optimiser and the options of a parameter, ``None`` where it must step by itself."""

    def step(self, leaves: Sequence[Tensor], gradients: Gradients) -> None:
        """The general way."""


class PyroOwner:
    """A ``pyro.optim`` object: a torch optimiser, or a scheduler of one, for each parameter."""

    def __init__(self, optim: PyroOptim) -> None:
        self.optim = optim

    def of(self, leaf: Tensor) -> Owned | None:
        found = self.optim.optim_objs.get(leaf)
        if found is None or self.optim.grad_clip[leaf] is not None:
            return None
        optimizer: Optimizer = getattr(found, "optimizer", found)
        return leaf, optimizer, optimizer.param_groups[0]

    def step(self, leaves: Sequence[Tensor], gradients: Gradients) -> None:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                leaf.grad = gradient
        self.optim(list(leaves))
        zero_grads(leaves)


class JointOwner:
    """One torch optimiser of all parameters."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def of(self, leaf: Tensor) -> Owned | None:
        for options in self.optimizer.param_groups:
            if any(leaf is member for member in options["params"]):
                return leaf, self.optimizer, options
        return None

    def step(self, leaves: Sequence[Tensor], gradients: Gradients) -> None:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                leaf.grad = gradient
        self.optimizer.step()
        zero_grads(leaves)


class JointOptim(PyroOptim):
    """One torch optimiser, made when the parameters are known."""

    def __init__(self, factory: Factory) -> None:
        super().__init__(factory, {})
        self.factory = factory
        self.optimizer: Optimizer | None = None

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        named = pyro.get_param_store().named_parameters()
        ordered = [tensor for _, tensor in named if tensor in params]
        if self.optimizer is None:
            self.optimizer = self.factory(ordered)
        known = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        new = [tensor for tensor in ordered if id(tensor) not in known]
        if new:
            self.optimizer.add_param_group({"params": new})
        self.optimizer.step(*args, **kwargs)
