"""What a run and its objective tell each other."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pyro.infer import ELBO as PyroELBO
from torch import Tensor

from pyro_vae.objectives import Objective


def inform(objective: PyroELBO, examples: int, steps: int, device: torch.device) -> None:
    """Tell an objective of ours how many examples there are, and steps in an epoch, and where."""
    if isinstance(objective, Objective):
        objective.to(device)
        objective.steps_per_epoch = steps
        if getattr(objective, "examples", 0) is None:
            vars(objective)["examples"] = examples


def critic_of(objective: PyroELBO) -> tuple[Iterable[Tensor], float | None]:
    """The parameters that an objective trains for itself, and their learning rate."""
    if not isinstance(objective, Objective):
        return (), None
    trained = [leaf for leaf in objective.parameters() if leaf.requires_grad]
    return trained, getattr(objective, "critic_lr", None)
