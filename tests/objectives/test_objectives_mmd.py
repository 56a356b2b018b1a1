"""Kernels and the maximum mean discrepancy against their definitions, written as loops."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_vae.objectives.kernels import RBF, InverseMultiquadratic, Kernel, squared_distances
from pyro_vae.objectives.mmd import mmd

KERNELS = [RBF(), RBF((0.2, 3.0)), InverseMultiquadratic(), InverseMultiquadratic([1.5])]


def draws(n: int, d: int = 3, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def by_hand(kernel: Kernel, a: torch.Tensor, b: torch.Tensor) -> float:
    """The kernel of two points, from its formula."""
    distance = sum((u - v) ** 2 for u, v in zip(a.tolist(), b.tolist(), strict=True))
    total = 0.0
    for scale in kernel.scales:
        c = 2 * len(a) * scale
        total += math.exp(-distance / c) if isinstance(kernel, RBF) else c / (c + distance)
    return total


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{type(k).__name__}{k.scales}")
def test_kernels_are_their_formulas(kernel):
    a, b = draws(4), draws(5, shift=1.0, seed=1)
    matrix = kernel(a, b)
    assert matrix.shape == (4, 5)
    for i in range(4):
        for j in range(5):
            assert matrix[i, j].item() == pytest.approx(by_hand(kernel, a[i], b[j]), rel=1e-12)
    assert kernel(torch.stack([a, a + 1]), torch.stack([b, b])).shape == (2, 4, 5)
    assert (torch.linalg.eigvalsh(kernel(a, a)) > 0).all()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{type(k).__name__}{k.scales}")
@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_is_its_definition(kernel, unbiased):
    a, b = draws(4), draws(6, shift=0.5, seed=1)
    left = [
        by_hand(kernel, a[i], a[j]) for i in range(4) for j in range(4) if i != j or not unbiased
    ]
    right = [
        by_hand(kernel, b[i], b[j]) for i in range(6) for j in range(6) if i != j or not unbiased
    ]
    cross = [by_hand(kernel, a[i], b[j]) for i in range(4) for j in range(6)]
    expected = sum(left) / len(left) + sum(right) / len(right) - 2 * sum(cross) / len(cross)
    found = mmd(a, b, kernel, unbiased)
    assert found.item() == pytest.approx(expected, rel=1e-10)
    several = mmd(
        torch.stack([a, b[:4]]), torch.stack([b, a[[0, 1, 2, 3, 0, 1]]]), kernel, unbiased
    )
    assert several.shape == (2,) and several[0].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{type(k).__name__}{k.scales}")
@pytest.mark.parametrize("unbiased", [True, False])
def test_gradients(kernel, unbiased):
    a, b = draws(3).requires_grad_(), draws(4, shift=0.5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: mmd(a, b, kernel, unbiased), (a, b))


def test_the_unbiased_estimate_has_the_exact_mean():
    """Two normals under a Gaussian kernel, whose expectation is a Gaussian again."""
    shift, c = 0.8, 2.0

    def expected(mean: float) -> float:  # E exp(-u^2 / c), u ~ N(mean, 2)
        return math.sqrt(c / (c + 4.0)) * math.exp(-(mean**2) / (c + 4.0))

    exact = 2 * expected(0.0) - 2 * expected(shift)
    sets = 20_000
    a, b = draws(sets * 3, 1).reshape(sets, 3, 1), draws(sets * 3, 1, shift, seed=1)
    found = mmd(a, b.reshape(sets, 3, 1), RBF((1.0,)))
    # False alarms once in 16,000 runs over other seeds.
    assert found.mean().item() == pytest.approx(exact, abs=4 * found.std().item() / sets**0.5)
    assert found.min() < 0
    biased = mmd(a, b.reshape(sets, 3, 1), RBF((1.0,)), unbiased=False)
    excess = (2 / 3) * (1.0 - expected(0.0))
    assert biased.mean().item() == pytest.approx(
        exact + excess, abs=4 * biased.std().item() / sets**0.5
    )
    assert biased.min() > -1e-12


def test_distances_far_from_the_origin_keep_their_digits():
    a = draws(5).float()
    near, far = squared_distances(a, a), squared_distances(a + 1000.0, a + 1000.0)
    # The points themselves are rounded to 6e-5 there; without centring the error would be 0.1.
    torch.testing.assert_close(far, near, atol=1e-3, rtol=1e-3)
    assert (near >= 0).all()


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (math.inf,)])
def test_bad_scales(scales):
    with pytest.raises(ValueError, match="scales are one or more positive numbers"):
        RBF(scales)


def test_bad_points():
    with pytest.raises(ValueError, match="have 3 and 2 dimensions"):
        mmd(draws(4), draws(4, 2), RBF())
    with pytest.raises(ValueError, match="enlarge the batch"):
        mmd(draws(1), draws(4), RBF())
    assert mmd(draws(1), draws(1), RBF(), unbiased=False).item() == pytest.approx(0.0, abs=1e-15)
