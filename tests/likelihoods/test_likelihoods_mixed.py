"""A table's row: the families side by side."""

from __future__ import annotations

import pytest
import torch

from pyro_vae.checks import check
from pyro_vae.likelihoods import (
    Bernoulli,
    Categorical,
    Mixed,
    Normal,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from pyro_vae.likelihoods._columns import MixedColumns
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

FAMILIES = ["Normal:0.5", "Categorical:3", "Bernoulli", "Normal:0.5", "Poisson", "Categorical:3"]
#: The numbers in the order of the network: normals, labels, coin, count.
NUMBERS = torch.tensor([0.3, -1.0, 0.1, 0.2, 0.9, 2.0, -2.0, 0.0, 0.7, 1.5])
ROW = torch.tensor([0.1, 2.0, 1.0, -0.4, 4.0, 0.0])


class Given(torch.nn.Module):
    """Puts out its numbers."""

    def __init__(self, numbers: torch.Tensor) -> None:
        super().__init__()
        self.numbers, self.outputs = numbers, tuple(numbers.shape)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.numbers.expand(*z.shape[:-1], *self.outputs)


def part(families: list[str], width: int) -> Mixed:
    torch.manual_seed(0)
    return Mixed(MLP(2, Mixed.outputs((width,), families=families), hidden=[5]), families)


def test_each_column_is_scored_by_its_own_family():
    z = torch.zeros(1, 2)
    p = Mixed(Given(NUMBERS), FAMILIES)(z)
    alone = [
        (Normal(Given(NUMBERS[:2]), 0.5), [0, 3]),
        (Categorical(Given(NUMBERS[2:8]), 3), [1, 5]),
        (Bernoulli(Given(NUMBERS[8:9])), [2]),
        (Poisson(Given(NUMBERS[9:])), [4]),
    ]
    total = sum(family(z).log_prob(ROW[columns]) for family, columns in alone)
    torch.testing.assert_close(p.log_prob(ROW), total)
    means = torch.zeros(1, 6)
    for family, columns in alone:
        means[:, columns] = family(z).mean
    torch.testing.assert_close(p.mean, means)
    torch.manual_seed(0)
    draws = p.sample((2000,))[:, 0]
    assert set(draws[:, 1].tolist()) == {0.0, 1.0, 2.0} and set(draws[:, 2].tolist()) == {0.0, 1.0}


def test_what_others_share_is_one_for_each_column():
    families = ["Normal", "Bernoulli", "Normal", "Beta", "Normal", "StudentT:3"]
    sizes = {name: tuple(p.shape) for name, p in part(families, 6).parts.named_parameters()}
    assert sizes == {"0.log_scale": (3,), "2.log_precision": (1,), "3.log_scale": (1,)}


def test_a_family_whose_numbers_are_several():
    families = ["ZeroInflatedNegativeBinomial", "Normal:per-pixel", "ZeroInflatedNegativeBinomial"]
    assert Mixed.outputs((3,), families=families) == (6,)
    mixed = part(families, 3)
    assert isinstance(mixed.parts[0], ZeroInflatedNegativeBinomial)
    assert mixed.parts[0].log_dispersion.shape == (2,)
    assert mixed(torch.zeros(4, 2)).sample().shape == (4, 3)


def test_the_optimal_scale_leaves_out_masked_cells():
    mixed = part(["Bernoulli", "Normal:optimal"], 2)
    mask = torch.ones(4, 2, dtype=torch.bool)
    mask[2:, 1] = False
    p = mixed(torch.zeros(4, 2), mask)
    x = torch.tensor([[1.0, 3.0], [0.0, 3.0], [1.0, 99.0], [0.0, 99.0]])
    p.log_prob(x)
    expected = (3.0 - p.mean[:2, 1]).square().mean().sqrt()
    torch.testing.assert_close(mixed.parts[1].log_scale.exp(), expected.detach())


def test_the_cell_outside_its_support_is_named():
    model = vae.Model(StandardNormal(2), part(FAMILIES, 6))
    guide = vae.Guide(DiagonalNormal(MLP(6, 4)))
    x = ROW.repeat(3, 1)
    assert check(model, guide, x).problems == []
    for column, wrong in [(1, 3.0), (2, 0.3), (4, -1.0), (5, 0.5)]:
        value = x.clone()
        value[2, column] = wrong
        (problem,) = check(model, guide, value).problems
        assert f"contain {wrong:.3g} at [2, {column}], outside the support" in problem


def test_expanding_keeps_columns_apart():
    p = part(FAMILIES, 6)(torch.zeros(2, 2)).base_dist
    assert isinstance(p, MixedColumns)
    wide = p.expand((3, 2, 6))
    draws = wide.sample()
    assert draws.shape == (3, 2, 6) and wide.support.check(draws).all()
    torch.testing.assert_close(wide.log_prob(draws), p.log_prob(draws))


@pytest.mark.parametrize(
    ("families", "message"),
    [
        (["Gaussian"], "there is no family 'Gaussian' for a column: choose from Bernoulli, Beta"),
        (["Mixed"], "there is no family 'Mixed'"),
        (["Categorical"], "needs its levels: write 'Categorical:levels'"),
        (["Bernoulli:2"], "'Bernoulli' has no options"),
        (["Normal:-1"], "a scale is positive, not -1"),
        (["Normal", "Normal"], "2 families and x has event shape"),
        ([], "0 families"),
    ],
)
def test_bad_families_are_told_in_one_line(families, message):
    with pytest.raises(ValueError, match=message) as caught:
        part(families, 1)
    assert "\n" not in str(caught.value)


def test_a_network_of_another_width_is_told():
    with pytest.raises(ValueError, match="needs 10 numbers from its network"):
        Mixed(MLP(2, 9), FAMILIES)(torch.zeros(1, 2))
