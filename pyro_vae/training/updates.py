"""What an optimiser does once the gradients are known, for all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .adam_group import AdamGroup, Owned, group_key, groupable
from .owners import Gradients, Owner


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
            # Where there is no gradient, there are zeros.
            group.step([self._zeros[i] if (g := gradients[i]) is None else g for i in group.places])

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
