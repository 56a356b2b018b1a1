"""Densities of the parts against the formulas of their docstrings, in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import kl_divergence

from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal

#: A few roundings of sums of a few terms of size 1 to 10.
EXACT = {"rtol": 1e-13, "atol": 1e-12}


def normal(x: float, loc: float, scale: float) -> float:
    return -0.5 * ((x - loc) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)


def doubles(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


class Fixed(nn.Module):
    """A network that puts out the same numbers whatever comes in."""

    def __init__(self, values: torch.Tensor, outputs: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("constant", values)
        if outputs is not None:
            self.outputs = outputs

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.constant.expand(*z.shape[:-1], *self.constant.shape)


def test_standard_normal():
    z = doubles([0.3, -1.2, 2.0], [0.0, 0.0, -4.0])
    expected = [sum(normal(v, 0.0, 1.0) for v in row) for row in z.tolist()]
    torch.testing.assert_close(StandardNormal(3).double()().log_prob(z), doubles(expected)[0])


@pytest.mark.parametrize("min_scale", [1e-6, 0.1])
def test_diagonal_normal(min_scale):
    parameters = doubles([0.5, -1.0, 0.2, -3.0], [0.0, 2.0, -40.0, 30.0])
    q = DiagonalNormal(nn.Identity(), min_scale=min_scale)(parameters)
    z = doubles([0.1, 0.2], [1e-7, 4.0])
    expected = [
        sum(
            normal(value, loc, math.log1p(math.exp(raw)) + min_scale)
            for value, loc, raw in zip(drawn, row[:2], row[2:], strict=True)
        )
        for drawn, row in zip(z.tolist(), parameters.tolist(), strict=True)
    ]
    torch.testing.assert_close(q.log_prob(z), doubles(expected)[0], rtol=1e-11, atol=1e-11)


def test_diagonal_normal_is_reparameterised():
    parameters = doubles([0.5, -1.0, 0.2, -3.0]).requires_grad_()
    q = DiagonalNormal(nn.Identity())(parameters)
    torch.manual_seed(0)
    noise = torch.randn(1, 2, dtype=torch.float64)
    torch.manual_seed(0)
    z = q.rsample()
    scale = torch.log1p(parameters[:, 2:].exp()) + 1e-6
    torch.testing.assert_close(z, parameters[:, :2] + scale * noise, **EXACT)
    z.sum().backward()
    # d(mu + softplus(s) eps)/dmu = 1, and /ds = sigmoid(s) eps.
    expected = torch.cat([torch.ones(1, 2), parameters[:, 2:].detach().sigmoid() * noise], -1)
    torch.testing.assert_close(parameters.grad, expected, **EXACT)


def test_kl_of_diagonal_normal_from_the_standard_normal():
    parameters = doubles([0.5, -1.0, 0.2, -3.0], [0.0, 2.0, 1.0, 0.0])
    q, p = DiagonalNormal(nn.Identity())(parameters), StandardNormal(2).double()()
    scales = [[math.log1p(math.exp(s)) + 1e-6 for s in row[2:]] for row in parameters.tolist()]
    expected = [
        sum(0.5 * (s * s + m * m - 1 - 2 * math.log(s)) for m, s in zip(row[:2], ss, strict=True))
        for row, ss in zip(parameters.tolist(), scales, strict=True)
    ]
    torch.testing.assert_close(kl_divergence(q, p), doubles(expected)[0], **EXACT)


def test_bernoulli():
    logits = doubles([0.5, -1.0, 3.0], [-20.0, 0.0, 20.0])
    x = doubles([1.0, 0.0, 0.0], [0.0, 1.0, 1.0])
    p = Bernoulli(Fixed(logits))(torch.zeros(1, dtype=torch.float64))
    expected = [
        # log sigmoid(l) = -log(1 + exp(-l)), and log(1 - sigmoid(l)) = log sigmoid(-l).
        -math.log1p(math.exp(-logit if value else logit))
        for logit, value in zip(logits.flatten().tolist(), x.flatten().tolist(), strict=True)
    ]
    assert p.event_shape == (2, 3)
    assert p.log_prob(x).item() == pytest.approx(sum(expected), rel=1e-13)


LOC = doubles([0.5, -1.0, 2.0])[0]
X = doubles([0.1, -0.2, 4.0], [0.5, -1.0, 2.0])


@pytest.mark.parametrize(
    ("options", "scales", "learned"),
    [
        ({"scale": 0.3}, [0.3] * 3, False),
        ({"scale": 2}, [2.0] * 3, False),
        ({"scale": "shared", "initial": 0.7}, [0.7] * 3, True),
        ({"scale": "per-dimension", "initial": 0.7}, [0.7, 0.7 * math.e, 0.7 / math.e], True),
        ({}, [1.0] * 3, True),
    ],
)
def test_normal(options, scales, learned):
    part = Normal(Fixed(LOC, outputs=(3,)), **options).double()
    assert isinstance(part.log_scale, nn.Parameter) is learned
    with torch.no_grad():
        # In float32 log 0.3 is 1e-8 off, so the scale is set again in float64.
        wanted = doubles(scales)[0].log()
        part.log_scale.copy_(wanted if part.log_scale.dim() else wanted[0])
    p = part(torch.zeros(2, 1, dtype=torch.float64))
    expected = [
        sum(normal(x, m, s) for x, m, s in zip(row, LOC.tolist(), scales, strict=True))
        for row in X.tolist()
    ]
    torch.testing.assert_close(p.log_prob(X), doubles(expected)[0], **EXACT)


@pytest.mark.parametrize("scale", [0.3, "shared", "per-dimension"])
def test_a_learned_scale_starts_where_it_is_told(scale):
    part = Normal(MLP(2, 3), scale=scale, initial=0.3)
    torch.testing.assert_close(part.log_scale.exp(), torch.full_like(part.log_scale, 0.3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Normal(MLP(2, 3), scale=0.0), "a scale is positive, not 0"),
        (lambda: Normal(MLP(2, 3), scale=-1), "a scale is positive, not -1"),
        (lambda: Normal(MLP(2, 3), scale=math.nan), "a scale is positive, not nan"),
        (lambda: Normal(MLP(2, 3), initial=0.0), "a scale is positive, not 0"),
        (lambda: Normal(MLP(2, 3), scale="learned"), "'shared' or 'per-dimension', not 'learned'"),
        (lambda: Normal(nn.Linear(2, 3), scale="per-dimension"), "says its output shape"),
        (
            lambda: DiagonalNormal(nn.Linear(2, 5))(torch.zeros(1, 2)),
            r"2 \* latent outputs \(means and scales\), not 5",
        ),
    ],
)
def test_bad_options_are_told_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
