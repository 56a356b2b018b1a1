"""Where clusters begin."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

#: Examples that k-means looks at, at most: a run begins again whenever it is opened.
ENOUGH = 3000


def mean_of(q: Any) -> Tensor | None:
    """The mean of a distribution, ``None`` where it has none in closed form."""
    try:
        return q.mean
    except NotImplementedError:
        return None


def typical(x: Tensor, count: int) -> Tensor:
    """The examples nearest to the centres that k-means finds, ``(count, *event)``.

    Of many examples some are looked at, chosen at random.

    Raises ``ValueError`` for more clusters than examples.

    >>> typical(torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0], [11.0]]), 2).sort(0).values.mT
    tensor([[ 1., 10.]])
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if count > len(x):
        raise ValueError(
            f"--program.clusters {count}: there are only {len(x)} examples to begin with"
        )
    enough = max(ENOUGH, 10 * count)
    if len(x) > enough:
        x = x[torch.randperm(len(x))[:enough].to(x.device)]
    flat = x.flatten(1).numpy(force=True)
    seed = int(torch.randint(2**31, ()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different examples than that
        distances = KMeans(count, n_init=4, random_state=seed).fit_transform(flat)
    return x[torch.from_numpy(distances.argmin(0)).to(x.device)]
