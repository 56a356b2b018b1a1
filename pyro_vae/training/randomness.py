"""The random numbers of a run are its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro

from .checkpoint import rng_state, set_rng_state


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed every global generator, and put all of them back afterwards.

    Raises ``ValueError`` for a seed that is not a whole number from 0 to 2**32 - 1.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed is a whole number from 0 to 2**32 - 1, not {seed!r}")
    before = rng_state()
    try:
        pyro.set_rng_seed(seed)
        yield
    finally:
        set_rng_state(before)
