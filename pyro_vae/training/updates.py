"""What an optimiser does once the gradients are known, for all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from pyro.infer.util import zero_grads
from pyro.optim import PyroOptim
from torch import Tensor
from torch.optim import Optimizer

from .adam_group import AdamGroup, Owned, group_key, groupable

Gradients = Sequence[Tensor | None]


class Owner(Protocol):
    """Holds the optimisers and their state."""

    def of(self, leaf: Tensor) -> Owned | None:
        """The optimiser and the options of a parameter, ``None`` where it must step by itself."""

    def step(self, leaves: Sequence[Tensor], gradients: Gradients) -> None:
        """The general way."""


class Updates:
    """Steps parameters as their optimiser would, in one fused operation where that is possible.

    Args:
        owner: of the optimisers; they have stepped each parameter once.
        leaves: the parameters, unconstrained.
        reached: whether each has a gradient in this program.
    """

    def __init__(self, owner: Owner, leaves: Sequence[Tensor], reached: Sequence[bool]) -> None:
        self.owner, self.leaves, self.reached = owner, leaves, reached
        self._owned: list[Owned] = []
        self._seen: list[Any] = []
        self._groups: list[AdamGroup] = []
        self._zeros: dict[int, Tensor] = {}

    @property
    def capturable(self) -> bool:
        """Whether a call can be part of a CUDA graph."""
        return bool(self._groups) and all(group.capturable for group in self._groups)

    def tensors(self) -> list[Tensor]:
        """What a call changes besides the parameters."""
        return [tensor for group in self._groups for tensor in group.tensors()]

    def prepare(self) -> bool:
        """Read the options anew. True where a captured call still does what is wanted."""
        stands = bool(self._seen) and self._look() == self._seen
        if not stands:
            self._plan()
        for group in self._groups:
            group.refresh()
        return stands

    @torch.no_grad()
    def __call__(self, gradients: Gradients) -> None:
        """Step each parameter by its gradient."""
        if not self._groups:
            self.owner.step(self.leaves, gradients)
            return
        for group in self._groups:
            group.step([self._zeros.get(i, gradients[i]) for i in group.places])

    def _look(self) -> list[Any]:
        """Everything that the plan depends on."""
        seen: list[Any] = [
            reached or leaf.grad is None
            for leaf, reached in zip(self.leaves, self.reached, strict=True)
        ]
        for _, optimizer, options in self._owned:
            seen += [id(optimizer.state), options["betas"], options["weight_decay"]]
            seen.append(None if self.capturable else options["lr"])
        return seen

    def _plan(self) -> None:
        self._groups, self._owned, self._zeros = [], [], {}
        places: dict[Any, list[int]] = {}
        owned = {i: self.owner.of(leaf) for i, leaf in enumerate(self.leaves)}
        for i, (leaf, reached) in enumerate(zip(self.leaves, self.reached, strict=True)):
            if not reached and leaf.grad is not None:  # zeros that another program left there
                self._zeros[i] = torch.zeros_like(leaf)
            if reached or i in self._zeros:
                own = owned[i]
                if own is None or not groupable(own):
                    places.clear()
                    break
                places.setdefault(group_key(own), []).append(i)
        for members in places.values():
            rows = [row for i in members if (row := owned[i]) is not None]
            self._groups.append(AdamGroup(members, rows))
            self._owned += rows
        self._seen = self._look()


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
