"""The order of the data, as a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch


def permutation(n: int, seed: int, epoch: int, device: str | torch.device = "cpu") -> torch.Tensor:
    """The order of n examples in one epoch: a pure function, so that a run can resume anywhere.

    Neither reads nor advances a global generator, and gives the same order on every device. Each
    pair (seed, epoch) has a generator of its own, whose state NumPy's ``SeedSequence`` mixes from
    the seed as entropy and the epoch as spawn key: no two pairs give it the same words, nearby
    ones give unrelated orders. A ``torch.Generator`` would not do, for on the CPU it keeps only
    the lowest 32 bits of its seed, too few to tell all pairs apart.

    Args:
        n: the number of examples, at least 1.
        seed: from 0 to 2**128 - 1.
        epoch: from 0 to 2**32 - 1.
        device: where the result lives.

    Returns:
        Indices, shape ``(n,)``, int64.

    Raises:
        ValueError: n below 1, a seed or epoch out of range.

    Example:
        >>> order = permutation(5, seed=0, epoch=1)
        >>> order.sort().values
        tensor([0, 1, 2, 3, 4])
        >>> torch.equal(order, permutation(5, seed=0, epoch=1))
        True
    """
    _check_size("n", n)
    if not (0 <= seed < 2**128 and 0 <= epoch < 2**32):
        raise ValueError(
            f"seed {seed} or epoch {epoch} is out of range: 0 to 2**128 - 1 and 0 to 2**32 - 1"
        )
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(n)
    return torch.from_numpy(order).to(device=device, dtype=torch.long)


def steps_per_epoch(n: int, batch_size: int, drop_last: bool = False) -> int:
    """The number of batches that :func:`batches` yields.

    Example:
        >>> steps_per_epoch(10, 4), steps_per_epoch(10, 4, drop_last=True), steps_per_epoch(3, 4)
        (3, 2, 1)
    """
    _check_size("n", n)
    _check_size("batch_size", batch_size)
    return max(1, n // batch_size) if drop_last else -(-n // batch_size)


def batches(
    n: int,
    batch_size: int,
    seed: int,
    epoch: int,
    device: str | torch.device = "cpu",
    drop_last: bool = False,
    shuffle: bool = True,
) -> Iterator[torch.Tensor]:
    """The mini-batches of one epoch, as indices into data that stay on the device.

    Every example comes exactly once, save those that ``drop_last`` leaves out (when shuffled,
    different ones in each epoch). Fewer examples than ``batch_size`` are one batch, with
    ``drop_last`` too.

    Args:
        n: the number of examples, at least 1.
        batch_size: at least 1.
        seed, epoch, device: as in :func:`permutation`.
        drop_last: leave out a last batch smaller than the others.
        shuffle: False for the order of the data.

    Raises:
        ValueError: at the call, for n or batch_size below 1, a seed or epoch out of range.

    Example:
        >>> [index.tolist() for index in batches(5, 2, seed=0, epoch=1, shuffle=False)]
        [[0, 1], [2, 3], [4]]
    """
    steps = steps_per_epoch(n, batch_size, drop_last)
    order = permutation(n, seed, epoch, device) if shuffle else torch.arange(n, device=device)
    return iter(order.split(batch_size)[:steps])


def _check_size(name: str, value: int) -> None:
    if value < 1:
        what = "number of examples, n," if name == "n" else name
        raise ValueError(f"the {what} must be at least 1, not {value}")
