"""The one look at programs and data before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pyro.infer import ELBO as PyroELBO
from torch import Tensor, nn

from pyro_vae.checks import Checkup, check, observation_problems
from pyro_vae.checks.values import own_support
from pyro_vae.objectives import explain
from pyro_vae.terms import ProgramError, untouched_randomness

from .arguments import transformed
from .modules import called_modules, evaluation_mode


@dataclass(frozen=True)
class Examined:
    """The programs' parameters and first traces, and the modules that ran."""

    checkup: Checkup
    called: list[nn.Module]


def examine(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    train: tuple[Tensor, ...],
    valid: tuple[Tensor, ...] | None,
    transform: Callable[[Tensor], Tensor] | None,
    objective: PyroELBO,
    batch_size: int,
) -> Examined:
    """Check the programs on a first and a last mini-batch, and every example against the support.

    Parameters that do not exist yet are made; nothing else changes, buffers and random numbers
    included. Raises :class:`pyro_vae.terms.ProgramError` with the first problem: one line
    that names the site and the cure.
    """
    with untouched_randomness(), called_modules() as called:
        first = transformed(tuple(t[:batch_size] for t in train), transform)
        seed = torch.initial_seed()  # a critic is made here
        explain(model, guide, *first, objective=objective, seed=seed).raise_for_problems()
        found = check(model, guide, *first)
        _look_at_all(model, guide, first, train, transform, found, "")
        # A program may know what is wrong with a whole data set, though with no mini-batch of it.
        _raise_first(getattr(model, "data_problems", _none)(*train), "")
        rest = len(train[0]) % batch_size
        if rest and rest < len(train[0]):
            # Smaller than the others, which batch norm or a plate of fixed size may not bear.
            last = transformed(tuple(t[-rest:] for t in train), transform)
            where = f"the last mini-batch, of {rest} (another batch_size may help): "
            _raise_first(explain(model, guide, *last, objective=objective).problems, where)
        if valid is not None:
            with evaluation_mode(model, guide):
                few = tuple(t[:batch_size] for t in valid)
                seen = check(model, guide, *few)
                _raise_first(seen.problems, "validation: ")
                _look_at_all(model, guide, few, valid, None, seen, "validation: ")
    return Examined(found, called)


def _look_at_all(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    batch: tuple[Tensor, ...],
    everything: tuple[Tensor, ...],
    transform: Callable[[Tensor], Tensor] | None,
    found: Checkup,
    where: str,
) -> None:
    """Every example of every observed site, without a run of the programs where that can be."""
    assert found.model is not None
    whole = transformed(everything, transform)
    direct = True
    nodes: dict[str, Any] = dict(found.model.nodes)
    for name, site in nodes.items():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        number = _argument(site["value"], batch)
        if number is None or own_support(site["fn"]):
            direct = False
        else:
            value = whole[number].reshape(len(whole[number]), *site["value"].shape[1:])
            _raise_first(observation_problems(name, value, site["fn"]), where)
    if direct or len(whole[0]) == len(batch[0]):
        return
    # The programs make something of their data before they observe it.
    for start in range(0, len(whole[0]), len(batch[0])):
        part = tuple(t[start : start + len(batch[0])] for t in whole)
        here = f"{where}examples from number {start} on: "
        _raise_first(check(model, guide, *part).problems, here)


def _argument(value: Any, batch: tuple[Tensor, ...]) -> int | None:
    """Which argument a site observes as it is, or in another shape."""
    for number, argument in enumerate(batch if isinstance(value, Tensor) else ()):
        same = value.data_ptr() == argument.data_ptr() and value.dtype == argument.dtype
        if same and value.numel() == argument.numel() and value.shape[:1] == argument.shape[:1]:
            return number
    return None


def _none(*data: Tensor) -> list[str]:
    return []


def _raise_first(problems: Iterator[str] | list[str], where: str) -> None:
    for problem in problems:
        raise ProgramError(where + problem)
