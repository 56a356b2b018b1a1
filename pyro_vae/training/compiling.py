"""Whether a run is compiled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import torch

Compile = bool | Literal["auto"]

#: Steps from which compiling pays. It takes 5 to 20 seconds and saves, on two CPU cores, 2 to
#: 5 milliseconds a step. A count and not a measurement: which random numbers a run draws depends
#: on whether it is compiled, and the same call must do the same everywhere.
PAYS_FROM = {"cpu": 8000, "cuda": 4000}


def pays(compile: Compile, steps: int, device: torch.device, begun: bool | None) -> bool:
    """Whether to compile a run of so many steps.

    Args:
        compile: the user's word.
        begun: whether the run that is resumed was compiled; ``None`` for a new run.

    Raises ``ValueError`` for another word.

    >>> [pays("auto", steps, torch.device("cpu"), begun=None) for steps in (100, 20_000)]
    [False, True]
    """
    if compile not in (True, False, "auto"):
        raise ValueError(f"compile is True, False or 'auto', not {compile!r}")
    if compile != "auto":
        return bool(compile)
    if begun is not None:
        return begun
    return steps >= PAYS_FROM.get(device.type, steps + 1)


def begun_compiled(state: Mapping[str, Any] | None) -> bool | None:
    """Whether the run of a checkpoint was compiled, ``None`` where that is not known."""
    if state is None or not isinstance(state.get("settings"), str):
        return None
    begun = json.loads(state["settings"]).get("compile")
    return begun if isinstance(begun, bool) else None
