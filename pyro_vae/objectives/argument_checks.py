"""Numbers and words that constructors of objectives are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from pyro_vae.terms.kl import KL, MODES

Word = TypeVar("Word", bound=str)


def check_mode(kl: KL) -> KL:
    """``ValueError`` for another word than those of ``ELBO(kl=)``."""
    return check_word("kl", kl, MODES)


def check_word(name: str, value: Word, words: Sequence[str]) -> Word:
    """``ValueError`` for another word than these."""
    if value not in words:
        raise ValueError(f"{name} is one of {', '.join(map(repr, words))}, not {value!r}")
    return value


def check_not_negative(name: str, value: float | Tensor) -> None:
    """``ValueError`` for a number below 0."""
    if not float(value) >= 0:
        raise ValueError(f"{name} must be at least 0, not {float(value):g}")


def check_positive(name: str, value: float | Tensor) -> None:
    """``ValueError`` for a number that is not above 0."""
    if not 0 < float(value) < float("inf"):
        raise ValueError(f"{name} must be a positive number, not {float(value):g}")
