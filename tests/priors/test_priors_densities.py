"""Densities of the priors against formulas and numerical integration, in double precision."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vae import priors
from pyro_vae.networks import MLP
from pyro_vae.priors._mixture import mixture

EXACT = {"rtol": 1e-10, "atol": 1e-10}

#: Priors with a density on the plane, and half the width of a box that holds all but little.
PLANE = {
    "StandardNormal": (lambda: priors.StandardNormal(2), 8.0),
    "LearnedNormal": (lambda: shaken(priors.LearnedNormal(2)), 12.0),
    "MixtureOfNormals": (lambda: shaken(priors.MixtureOfNormals(2, 3)), 14.0),
    "FlowPrior coupling": (lambda: shaken(priors.FlowPrior(2, "coupling", 3, 8), 0.3), 20.0),
    "FlowPrior spline": (lambda: shaken(priors.FlowPrior(2, "spline", 3, 8), 0.3), 8.0),
    "FlowPrior autoregressive": (
        lambda: shaken(priors.FlowPrior(2, "autoregressive", 3, 8), 0.3),
        20.0,
    ),
    "Laplace": (lambda: priors.Laplace(2, scale=0.5), 12.0),
    "Uniform": (lambda: priors.Uniform(2, low=-1.0, high=2.0), 3.0),
}


def shaken(prior: nn.Module, by: float = 0.5) -> nn.Module:
    """With every parameter away from where it begins."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return prior


def plane(half: float, count: int = 501) -> tuple[Tensor, float]:
    axis = torch.linspace(-half, half, count, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), (2 * half / (count - 1)) ** 2


@pytest.mark.parametrize("name", PLANE)
def test_the_density_integrates_to_one_and_draws_follow_it(name):
    make, half = PLANE[name]
    p = make().double()()
    z, cell = plane(half)
    if name == "Uniform":  # whose own edge would lie between the points
        z = z[((z > -1) & (z < 2)).all(-1)]
    with torch.no_grad():
        mass = p.log_prob(z).exp() * cell
    # The grid sees an edge of a box of width 3 to half a cell at each end, a kink to its square.
    assert abs(mass.sum() - 1) < (0.02 if name == "Uniform" else 2e-3)
    mean = (mass[:, None] * z).sum(0) / mass.sum()
    second = (mass[:, None] * z**2).sum(0) / mass.sum()
    draws = p.sample((20_000,))
    spread = draws.std(0) / 20_000**0.5
    assert ((draws.mean(0) - mean).abs() < 4.5 * spread + 0.01).all()
    wobble = (draws**2).std(0) / 20_000**0.5
    assert (((draws**2).mean(0) - second).abs() < 4.5 * wobble + 0.01).all()


@pytest.mark.parametrize("name", ["StandardNormal", "LearnedNormal", "MixtureOfNormals", "Laplace"])
def test_the_mean_is_that_of_the_density(name):
    make, half = PLANE[name]
    p = make().double()()
    z, cell = plane(half)
    with torch.no_grad():
        integral = (p.log_prob(z).exp()[:, None] * z).sum(0) * cell
    torch.testing.assert_close(p.mean.detach(), integral, rtol=0, atol=1e-3)


def test_learned_normal():
    prior = shaken(priors.LearnedNormal(3)).double()
    other = torch.distributions.Normal(prior.loc, softplus(prior.raw_scale))
    z = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(prior().log_prob(z), other.log_prob(z).sum(-1))


def test_mixture_of_normals():
    prior = shaken(priors.MixtureOfNormals(2, 3)).double()
    z = torch.randn(5, 2, dtype=torch.float64)
    scale = softplus(prior.raw_scale)
    total = torch.zeros(5, dtype=torch.float64)
    for k, weight in enumerate(prior.logits.softmax(0)):
        square = ((z - prior.loc[k]) / scale[k]).square().sum(-1)
        total = total + weight * torch.exp(-square / 2) / (2 * math.pi * scale[k].prod())
    torch.testing.assert_close(prior().log_prob(z), total.log(), **EXACT)


def test_laplace_student_uniform_dirichlet():
    z = torch.tensor([[0.3, -1.2], [0.1, 0.9]], dtype=torch.float64)
    found = priors.Laplace(2, scale=0.5).double()().log_prob(z)
    torch.testing.assert_close(found, -2 * z.abs().sum(-1), **EXACT)
    found = priors.StudentT(2, df=3.0, scale=2.0).double()().log_prob(z)
    constant = math.lgamma(2.0) - math.lgamma(1.5) - 0.5 * math.log(3 * math.pi) - math.log(2)
    expected = (constant - 2 * torch.log1p(z.square() / 12)).sum(-1)
    torch.testing.assert_close(found, expected, **EXACT)
    found = priors.Uniform(2, low=-2.0, high=1.0).double()().log_prob(z)
    torch.testing.assert_close(found, torch.full_like(found, -2 * math.log(3)), **EXACT)
    shares = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    found = priors.Dirichlet(3, concentration=2.0).double()().log_prob(shares)
    expected = math.log(120) + shares.log().sum()
    torch.testing.assert_close(found, expected, **EXACT)


def test_categorical():
    prior = shaken(priors.Categorical(4)).double()
    probabilities = prior().log_prob(torch.eye(4, dtype=torch.float64)).exp()
    torch.testing.assert_close(probabilities, prior.logits.softmax(0))
    assert prior().sample((9,)).sum(-1).eq(1).all() and not prior().has_rsample


def test_relaxed_categorical():
    """The formula (10) of Maddison et al.; on two classes it integrates to one."""
    prior = shaken(priors.RelaxedCategorical(2, temperature=0.7)).double()
    share = torch.linspace(0, 1, 200_001, dtype=torch.float64)[1:-1]
    z = torch.stack([share, 1 - share], -1)
    weight = prior.logits.exp()
    expected = 0.7 * (weight * z**-1.7).prod(-1) / (weight * z**-0.7).sum(-1) ** 2
    # The normaliser is (n - 1)! t^(n - 1), which for two classes is t.
    torch.testing.assert_close(prior().log_prob(z), expected.log(), rtol=1e-7, atol=1e-7)
    mass = torch.trapezoid(expected, share).item()
    assert abs(mass - 1) < 5e-3
    assert prior().rsample((9,)).requires_grad


@pytest.mark.parametrize("truncation", [1, 2, 100])
def test_resampled(truncation):
    prior = priors.ResampledPrior(2, hidden=8, truncation=truncation, proposals=200_000).double()
    # Accepting about one in five, and very unevenly.
    prior.acceptance = nn.Sequential(MLP(2, 1, [8, 8], "tanh").double(), Stretch(12.0, -2.0))
    z, cell = plane(8.0, 301)
    p = prior()
    with torch.no_grad():
        mass = p.log_prob(z).exp() * cell
        base = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1).exp() * cell
        accept = prior.acceptance(z)[:, 0].sigmoid()
        exact = (base * accept).sum()
        error = ((base * accept**2).sum() - exact**2).sqrt() / exact / 200_000**0.5
    # An estimate of Z that is off by a share e puts the integral off by no more than e.
    assert abs(mass.sum() - 1) < 4.5 * error + 1e-4
    left = (1 - exact) ** (truncation - 1)
    expected = base * (accept * (1 - left) / exact + left)
    assert (mass - expected).abs().sum() < 9 * error + 1e-4
    draws = p.sample((20_000,))
    for f in (lambda z: z[:, 0], lambda z: z[:, 1] ** 2, lambda z: (z[:, 0] > 0.5).double()):
        wanted, spread = (expected * f(z)).sum(), f(draws).std() / 20_000**0.5
        assert abs(f(draws).mean() - wanted) < 4.5 * spread + 2e-3


class Stretch(nn.Module):
    def __init__(self, factor: float, shift: float) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.shift


def test_resampled_learns_where_data_are():
    """Maximum likelihood on data with a hole: E[log p] rises above the best normal's."""
    torch.manual_seed(0)
    angle = 2 * math.pi * torch.rand(2000)
    data = 1.4 * torch.stack([angle.cos(), angle.sin()], -1) + 0.1 * torch.randn(2000, 2)
    prior = priors.ResampledPrior(2, hidden=32)
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        (-prior().log_prob(data).mean()).backward()
        optimizer.step()
    # log p = log N + log a - log Z; a thin ring holds 1 / Z times its share of the normal.
    gain = prior().log_prob(data).mean() - priors.StandardNormal(2)().log_prob(data).mean()
    assert gain > 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mixture_by_matrix_products_is_torch_s_in_value_and_gradient(dtype):
    # Scales down to 1e-2 against means of size 3: the terms of the square are some 1e5 of its
    # least value, so in single precision the products would lose the density.
    torch.manual_seed(3)
    loc = (3 * torch.randn(50, 4, dtype=dtype)).requires_grad_()
    scale = torch.rand(50, 4, dtype=dtype).mul(2).add(0.01).requires_grad_()
    logits = torch.randn(50, dtype=dtype, requires_grad=True)
    z = torch.cat([3 * torch.randn(7, 4, dtype=dtype), loc.detach()[:5] + 1e-2]).requires_grad_()
    parts = dist.Normal(loc, scale).to_event(1)
    ours, inputs = mixture(logits, parts).log_prob(z.reshape(3, 4, 4)), (z, loc, scale, logits)
    reference = dist.MixtureSameFamily(dist.Categorical(logits=logits), parts)
    theirs = reference.log_prob(z.reshape(3, 4, 4))
    assert ours.dtype == dtype and ours.shape == (3, 4)
    plated = mixture(logits, parts).expand((3, 4))
    assert torch.equal(plated.log_prob(z.reshape(3, 4, 4)), ours)
    assert plated.log_prob(z[0]).shape == (3, 4)
    # Torch's own rounding in single precision: of (z - loc) / scale, to the square.
    close = (
        {"rtol": 1e-10, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
    )
    torch.testing.assert_close(ours, theirs, **close)
    gradients = (torch.autograd.grad(value.sum(), inputs) for value in (ours, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, **close)
