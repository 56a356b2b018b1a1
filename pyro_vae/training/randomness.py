"""What a run does not leave behind or take from outside: random numbers, gradient modes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch

from .checkpoint import rng_state, set_rng_state


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
