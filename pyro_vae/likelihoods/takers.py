"""Which likelihoods take given data."""

from __future__ import annotations

from torch import Tensor

from .base import descendants

_ORDER = ("binary", "counts", "grey", "real")


def takers(x: Tensor) -> list[str]:
    """Names of this package's likelihoods in whose support every number of ``x`` lies.

    The ones for the most particular data come first. ``DiscretizedLogistic`` counts with its 256
    levels, ``Categorical`` with as many as it takes; ``Mixed`` takes what its families take.

    >>> import torch
    >>> takers(torch.tensor([0.0, 0.3]))
    ['ContinuousBernoulli', 'Laplace', 'Normal', 'StudentT']
    >>> takers(torch.tensor([-1.5, 2.0]))
    ['Laplace', 'Normal', 'StudentT']
    """
    here = __package__ or ""
    kinds = [kind for kind in descendants() if kind.__module__.startswith(f"{here}.")]
    kinds.sort(key=lambda kind: (_ORDER.index(kind.values), kind.__name__))
    return [kind.__name__ for kind in kinds if kind.takes(x)]
