"""The order of the data depends on seed and epoch, and on nothing else."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.training.batches import batches, permutation, steps_per_epoch

quick = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def test_the_order_is_this_one() -> None:
    """Fixed numbers: another order under the same seed would break every resumed run."""
    assert permutation(10, seed=0, epoch=0).tolist() == [4, 9, 8, 7, 5, 3, 0, 1, 2, 6]
    assert permutation(10, seed=3, epoch=7).tolist() == [1, 2, 7, 8, 6, 0, 3, 4, 9, 5]


def test_it_is_independent_of_the_global_generators_and_leaves_them_alone() -> None:
    torch_state = torch.get_rng_state()
    random_state = random.getstate()
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    first = permutation(100, seed=1, epoch=2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == random_state
    numpy_now = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(numpy_now) == str(numpy_state)
    torch.rand(3)
    assert torch.equal(permutation(100, seed=1, epoch=2), first)
    torch.set_rng_state(torch_state)


def test_nearby_and_mirrored_pairs_all_differ() -> None:
    """Additive or 32-bit mixing would repeat orders: 0 + 1 = 1 + 0, and 2**32 = 0."""
    ends = [*range(12), 2**31, 2**32 - 1]
    seeds = [*ends, 2**32, 2**32 + 1, 2**64 - 1, 2**64, 2**96 + 5, 2**128 - 1]
    orders = {tuple(permutation(30, s, e).tolist()) for s in seeds for e in ends}
    assert len(orders) == len(seeds) * len(ends)


def test_torch_generators_could_not_tell_such_seeds_apart() -> None:
    """The reason for NumPy's: on the CPU torch keeps 32 bits of a seed."""
    a, b = (torch.Generator().manual_seed(seed) for seed in (5, 5 + 2**32))
    assert torch.equal(torch.randperm(30, generator=a), torch.randperm(30, generator=b))
    assert not torch.equal(permutation(30, 5, 0), permutation(30, 5 + 2**32, 0))


@pytest.mark.parametrize("neighbour", ["seed", "epoch"])
def test_neighbours_are_independent(neighbour: str) -> None:
    """Two independent orders of n agree at Poisson(1) places, whatever n is.

    Over 400 pairs the mean number is 1 with standard deviation 1 / 20: allowed are 4 of these.
    """
    orders = [
        permutation(50, **({"seed": 3, "epoch": 3} | {neighbour: value})) for value in range(401)
    ]
    agreements = [(a == b).sum().item() for a, b in pairwise(orders)]
    assert abs(np.mean(agreements) - 1) < 4 / 20


def test_every_place_is_equally_likely() -> None:
    """Chi-squared of where example 0 goes: 9 degrees of freedom, 99.99 % quantile 33.7."""
    places = [(permutation(10, 0, epoch) == 0).nonzero().item() for epoch in range(1000)]
    counts = np.bincount(places, minlength=10)
    assert ((counts - 100) ** 2 / 100).sum() < 33.7


@quick
@given(
    n=st.integers(1, 50),
    batch_size=st.integers(1, 60),
    epoch=st.integers(0, 5),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
)
def test_sizes_and_that_no_example_is_lost_or_doubled(
    n: int, batch_size: int, epoch: int, drop_last: bool, shuffle: bool
) -> None:
    got = list(batches(n, batch_size, 0, epoch, drop_last=drop_last, shuffle=shuffle))
    assert len(got) == steps_per_epoch(n, batch_size, drop_last) >= 1
    assert all(index.dtype == torch.int64 for index in got)
    full = min(n, batch_size)
    assert all(len(index) == full for index in got[: len(got) if drop_last else -1])
    seen = torch.cat(got).tolist()
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(n))
    assert len(seen) == (max(full, n - n % batch_size) if drop_last else n)
    if shuffle:
        assert seen == permutation(n, 0, epoch)[: len(seen)].tolist()
    else:
        assert seen == list(range(len(seen)))


def test_a_batch_larger_than_the_data_is_one_batch() -> None:
    for drop_last in (False, True):
        [only] = batches(3, 100, seed=0, epoch=0, drop_last=drop_last)
        assert sorted(only.tolist()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("n", "size", "seed", "epoch", "message"),
    [
        (0, 4, 0, 0, "number of examples, n, must be at least 1, not 0"),
        (5, 0, 0, 0, "batch_size must be at least 1, not 0"),
        (5, -2, 0, 0, "batch_size must be at least 1, not -2"),
        (5, 4, -1, 0, "seed -1 or epoch 0 is out of range"),
        (5, 4, 0, 2**32, "seed 0 or epoch 4294967296 is out of range"),
        (5, 4, 2**128, 0, "is out of range: 0 to"),
    ],
)
def test_bad_numbers_are_refused_at_the_call(
    n: int, size: int, seed: int, epoch: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        batches(n, size, seed, epoch)
    if n < 1 or size < 1:
        with pytest.raises(ValueError, match=message):
            steps_per_epoch(n, size)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_order_is_the_same_on_every_device() -> None:
    on_gpu = permutation(1000, 0, 0, device="cuda")
    assert on_gpu.is_cuda and torch.equal(on_gpu.cpu(), permutation(1000, 0, 0))
