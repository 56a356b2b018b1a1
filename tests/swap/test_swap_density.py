"""The density of each prior and posterior is that of its own draws, by numerical integration.

Inside a box that holds nearly all draws, the integrals of p and of p log p are the share of the
draws that fall into it, and the mean there of their log-densities.
"""

from __future__ import annotations

import math
from typing import Any

import pyro
import pytest
import torch
from swap.swap_parts import LATENT, POSTERIORS, PRIORS, build, space
from torch import Tensor

#: Draws, and the standard errors of a mean that are allowed: of 60 means, one that is right is
#: further off once in 8 million runs.
DRAWS, SIGMA = 20_000, 6.0
#: Points of the grid in each of one or two dimensions, and the error of the trapezium rule, which
#: at a kink is of the order of the square of their distance.
POINTS, GRID = {1: 100_001, 2: 241}, 4e-3

#: Whose density is that of a path, or an estimate; their own tests hold them to what they promise.
ELSEWHERE = {("posterior", "Hamiltonian"), ("prior", "ResampledPrior")}

PARTS = [("prior", name) for name in PRIORS] + [("posterior", name) for name in POSTERIORS]


def distribution(kind: str, name: str) -> Any:
    """The prior, or the posterior of one example."""
    if kind == "prior":
        return build(name, "DiagonalNormal").double().model.prior()
    programs = build("StandardNormal", name).double()
    return programs.guide.posterior(*(a[:1] for a in programs.args))


def box(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points of a box, their weights by the trapezium rule, and which draws are inside."""
    ends = z.quantile(torch.tensor([0.005, 0.995]).double(), dim=0)
    count = POINTS[z.shape[-1]]
    axes = [torch.linspace(*pair, count, dtype=torch.float64) for pair in ends.T.tolist()]
    weights = torch.ones(1).double()
    for axis in axes:
        rule = (axis[1] - axis[0]).repeat(count)
        rule[0] = rule[-1] = rule[0] / 2
        weights = (weights[:, None] * rule).flatten()
    inside = ((z > ends[0]) & (z < ends[1])).all(-1)
    return torch.cartesian_prod(*axes).reshape(-1, len(axes)), weights, inside


def points_of(fn: Any, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same on the space that the draws z are from."""
    if space(fn) == "one-hot":
        return torch.eye(LATENT).double(), torch.ones(LATENT), torch.ones(len(z)).bool()
    if space(fn) != "simplex":
        return box(z)
    free, weights, inside = box(z[:, :-1])
    return torch.cat([free, 1 - free.sum(-1, keepdim=True)], -1), weights, inside


@pytest.mark.parametrize(("kind", "name"), [part for part in PARTS if part not in ELSEWHERE])
@torch.no_grad()
def test_the_density_is_that_of_the_draws(kind, name):
    pyro.set_rng_seed(3)
    fn = distribution(kind, name)
    z = fn.sample((DRAWS,))
    points, weights, inside = points_of(fn, z.reshape(DRAWS, LATENT))
    logs = fn.log_prob(points.reshape(-1, *fn.batch_shape, LATENT)).flatten()
    drawn = torch.where(inside, fn.log_prob(z).flatten(), 0.0)
    integrals = (weights * logs.exp()).sum(), (weights * logs.exp() * logs).sum()
    for integral, values in zip(integrals, (inside.double(), drawn), strict=True):
        error = SIGMA * values.std().item() / math.sqrt(DRAWS) + GRID
        assert error < 0.1, "the test could not tell"
        assert abs(values.mean().item() - integral.item()) < error
