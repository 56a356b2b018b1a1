"""The weights of a run, for who does not want to train on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pyro

from pyro_vae.checks import Checkup

from .checkpoint import CheckpointError, load
from .weights import Weights


def load_weights(
    path: str | os.PathLike[str],
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *,
    best: bool = True,
) -> None:
    """Write the weights of a checkpoint into a model and a guide, in place.

    Args:
        path: a file that ``fit(checkpoint=...)`` wrote.
        model, guide: the programs, built as when they were trained. Bare functions need to have
            registered their parameters: run them once.
        best: the weights of the best epoch on the validation data, where there were any; else
            the last ones.

    Raises:
        CheckpointError: the file is damaged, or not of a run.
        ValueError: the checkpoint is of other programs.
    """
    state = load(path)
    if "weights" not in state:
        raise CheckpointError(f"{path} is not the checkpoint of a run: it lacks 'weights'")
    chosen = state["best"] if best and state.get("best") is not None else state["weights"]
    programs = {name: part for name, part in chosen["modules"].items() if name != "objective"}
    chosen = {**chosen, "modules": programs}
    # What bare functions register by name lives in Pyro's store.
    store = dict(pyro.get_param_store().named_parameters())
    for name in chosen["params"]:
        if name not in store:
            raise ValueError(
                f"param {name!r} of the checkpoint is not registered: run the programs once first"
            )
    loose = {name: store[name] for name in chosen["params"]}
    Weights(model, guide, Checkup(theta=loose)).load(chosen)
