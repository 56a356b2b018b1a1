"""What the constructors of priors ask of their numbers."""

from __future__ import annotations

import math


def check_latent(latent: int) -> None:
    """Raise ``ValueError`` where there would be no latent dimension."""
    if latent < 1:
        raise ValueError(f"latent is the number of latent dimensions, at least 1, not {latent}")


def check_count(name: str, value: int) -> None:
    """Raise ``ValueError`` for a count below 1.

    >>> check_count("components", 10)
    """
    if value < 1:
        raise ValueError(f"{name} is at least 1, not {value}")


def check_positive(name: str, value: float) -> None:
    """Raise ``ValueError`` for what is not a positive, finite number.

    >>> check_positive("scale", 0.5)
    """
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is positive and finite, not {value}")
