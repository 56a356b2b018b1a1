"""The one look at programs and data before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyro.infer import ELBO as PyroELBO
from torch import Tensor

from pyro_vae.objectives import (
    Checkup,
    ProgramError,
    check,
    explain,
    observation_problems,
    untouched_randomness,
)


def examine(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    train: tuple[Tensor, ...],
    transform: Callable[[Tensor], Tensor] | None,
    objective: PyroELBO,
    batch_size: int,
) -> Checkup:
    """Check the programs on the first mini-batch, and every example against the support.

    Raises :class:`pyro_vae.objectives.ProgramError` with the first problem: one line that names
    the site and the cure.
    """
    with untouched_randomness():
        batch = transformed(tuple(t[:batch_size] for t in train), transform)
        explain(model, guide, *batch, objective=objective).raise_for_problems()
        found = check(model, guide, *batch)
        everything = transformed(train, transform)
    assert found.model is not None
    for name, site in found.model.nodes.items():
        # A site that observes the argument as it is: all of it can be checked without a run.
        observed = site["type"] == "sample" and site["is_observed"]
        for argument, whole in zip(batch, everything, strict=True):
            if observed and site["value"] is argument:
                for problem in observation_problems(name, whole, site["fn"]):
                    raise ProgramError(problem)
    return found


def transformed(
    batch: tuple[Tensor, ...], transform: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, ...]:
    """The batch as the programs see it: the transform acts on its first part."""
    return batch if transform is None else (transform(batch[0]), *batch[1:])
