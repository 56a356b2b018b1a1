"""What a run does not leave behind or take from outside: random numbers, gradient modes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import torch


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed every global generator, and put all of them back afterwards.

    Raises ``ValueError`` for a seed that is not a whole number from 0 to 2**32 - 1.

    >>> before = torch.get_rng_state()
    >>> with isolated_randomness(seed=1): _ = torch.rand(100)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed is a whole number from 0 to 2**32 - 1, not {seed!r}")
    before = rng_state()
    try:
        pyro.set_rng_seed(seed)
        yield
    finally:
        set_rng_state(before)


@contextmanager
def gradients() -> Iterator[None]:
    """Gradients on, also within ``torch.no_grad()`` or ``torch.inference_mode()`` outside."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def rng_state() -> dict[str, Any]:
    """The states of all global random number generators, as plain data for a checkpoint.

    Torch's on the CPU and on each CUDA device, Python's ``random`` and NumPy's legacy global one.

    Example:
        >>> before = rng_state()
        >>> first = torch.rand(2)
        >>> set_rng_state(before)
        >>> torch.equal(first, torch.rand(2))
        True
    """
    version, words, gauss = random.getstate()
    legacy: dict[str, Any] = dict(np.random.get_state(legacy=False))  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        # Where CUDA was never used it has drawn nothing, and asking would start it.
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "python": {"version": version, "words": list(words), "gauss": gauss},
        "numpy": {**legacy, "state": _as_lists(legacy["state"])},
    }


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put back what :func:`rng_state` gave; states of CUDA devices that are absent are ignored."""
    # A checkpoint may have been loaded onto another device; generator states live on the CPU.
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available():
        for device, cuda in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
            torch.cuda.set_rng_state(cuda.cpu(), device)
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"]), python["gauss"]))
    np.random.set_state(dict(state["numpy"]))  # noqa: NPY002


def _as_lists(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in arrays.items()
    }
