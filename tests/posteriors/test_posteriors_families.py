"""The plain families: densities, pathwise gradients and shapes, against their formulas."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vae.posteriors import (
    DiagonalNormal,
    Dirichlet,
    FullCovarianceNormal,
    Laplace,
    LowRankNormal,
    MixtureOfNormals,
    StudentT,
)

FAMILIES = {
    "DiagonalNormal": (DiagonalNormal, {}),
    "FullCovarianceNormal": (FullCovarianceNormal, {}),
    "LowRankNormal": (LowRankNormal, {"rank": 2}),
    "MixtureOfNormals": (MixtureOfNormals, {"components": 3}),
    "Laplace": (Laplace, {}),
    "StudentT": (StudentT, {}),
    "Dirichlet": (Dirichlet, {}),
}
FLOOR = {"Dirichlet": 0.1}


def size(name: str, latent: int) -> int:
    family, options = FAMILIES[name]
    (outputs,) = family.outputs(latent, **options)
    return outputs


def family(name: str, network: nn.Module | None = None):
    kind, options = FAMILIES[name]
    return kind(network or nn.Identity(), **options)


def parameters(name: str, latent: int) -> Tensor:
    """One vector of outputs of a network, every number of it different."""
    generator = torch.Generator().manual_seed(5)
    vector = torch.randn(size(name, latent), generator=generator, dtype=torch.float64) * 0.7
    if name == "StudentT":
        vector[2 * latent :] += 10  # fourth moments exist, so that errors of means do
    if name == "Dirichlet":
        vector += 2.5
    return vector


def positive(raw: Tensor, name: str) -> Tensor:
    return raw.exp().log1p() + FLOOR.get(name, 1e-6)


def lower(vector: Tensor, latent: int) -> Tensor:
    """The Cholesky factor of the docstring, entry by entry."""
    factor = torch.zeros(latent, latent, dtype=vector.dtype)
    below = iter(range(2 * latent, len(vector)))
    for i in range(latent):
        for j in range(i):
            factor = factor.index_put((torch.tensor(i), torch.tensor(j)), vector[next(below)])
    return factor + torch.diag(positive(vector[latent : 2 * latent], ""))


def covariance(name: str, vector: Tensor, latent: int) -> Tensor:
    if name == "FullCovarianceNormal":
        factor = lower(vector, latent)
        return factor @ factor.T
    if name == "LowRankNormal":
        columns = vector[2 * latent :].reshape(latent, 2)
        return torch.diag(positive(vector[latent : 2 * latent], "") ** 2) + columns @ columns.T
    assert name == "DiagonalNormal"
    return torch.diag(positive(vector[latent : 2 * latent], "") ** 2)


def mixture(vector: Tensor, latent: int) -> tuple[Tensor, Tensor, Tensor]:
    weights = vector[:3].exp() / vector[:3].exp().sum()
    loc = vector[3 : 3 + 3 * latent].reshape(3, latent)
    return weights, loc, positive(vector[3 + 3 * latent :], "").reshape(3, latent)


def density(name: str, vector: Tensor, z: Tensor) -> Tensor:
    """log q(z) by the formula of the docstring, for one z."""
    latent = len(z)
    if name == "MixtureOfNormals":
        weights, loc, scale = mixture(vector, latent)
        each = torch.exp(-0.5 * ((z - loc) / scale) ** 2) / scale / math.sqrt(2 * math.pi)
        return (weights * each.prod(-1)).sum().log()
    if name == "Dirichlet":
        a = positive(vector, name)
        return a.sum().lgamma() - a.lgamma().sum() + ((a - 1) * z.log()).sum()
    loc, scale = vector[:latent], positive(vector[latent : 2 * latent], "")
    if name == "Laplace":
        return (-(z - loc).abs() / scale - (2 * scale).log()).sum()
    if name == "StudentT":
        nu = 2 + positive(vector[2 * latent :], "") - 1e-6
        log_c = (nu / 2 + 0.5).lgamma() - (nu / 2).lgamma() - 0.5 * (nu * math.pi).log()
        error = ((z - loc) / scale) ** 2
        return (log_c - scale.log() - (nu + 1) / 2 * (1 + error / nu).log()).sum()
    sigma = covariance(name, vector, latent)
    error = z - loc
    return -0.5 * (error @ sigma.inverse() @ error + (2 * math.pi * sigma).det().log())


def moments(name: str, vector: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance, in closed form."""
    if name == "MixtureOfNormals":
        weights, loc, scale = mixture(vector, latent)
        mean = weights @ loc
        square = torch.einsum("k,ki,kj->ij", weights, loc, loc) + torch.diag(weights @ scale**2)
        return mean, square - torch.outer(mean, mean)
    if name == "Dirichlet":
        a = positive(vector, name)
        mean = a / a.sum()
        return mean, (torch.diag(mean) - torch.outer(mean, mean)) / (a.sum() + 1)
    mean, scale = vector[:latent], positive(vector[latent : 2 * latent], "")
    if name == "Laplace":
        return mean, torch.diag(2 * scale**2)
    if name == "StudentT":
        nu = 2 + positive(vector[2 * latent :], "") - 1e-6
        return mean, torch.diag(scale**2 * nu / (nu - 2))
    return mean, covariance(name, vector, latent)


@pytest.mark.parametrize("latent", [1, 2, 4])
@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_is_the_formula(name, latent):
    vector = parameters(name, latent)
    draws = family(name)(vector).sample((6,))
    expected = torch.stack([density(name, vector, z) for z in draws])
    # A dozen roundings of numbers of size 10, and an inverse of condition about 100.
    torch.testing.assert_close(
        family(name)(vector).log_prob(draws), expected, rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "Dirichlet"])
def test_density_integrates_to_one(name):
    vector = parameters(name, 2)
    step = 0.04
    line = torch.arange(-24, 24, step, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    total = (family(name)(vector).log_prob(grid).exp().sum() * step**2).item()
    # The trapezium rule is exact to rounding for smooth densities; tails end at 24. Over the kink
    # of a Laplace its relative error is up to h^2 / (6 b^2) a dimension, of either sign.
    scale = positive(vector[2:4], "")
    kink = (step**2 / (6 * scale**2)).sum().item() * 1.1 if name == "Laplace" else 1e-7
    assert total == pytest.approx(1, abs=kink)


def test_the_density_of_a_dirichlet_integrates_to_one():
    n = 600
    line = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    first = torch.cartesian_prod(line, line)
    first = first[first.sum(-1) < 1 - 1e-9]
    points = torch.cat([first, 1 - first.sum(-1, keepdim=True)], -1)
    q = family("Dirichlet")(parameters("Dirichlet", 3))
    # Concentrations above 2: the density goes to zero at the edge, so cells there cost 1 / n^2.
    assert (q.concentration > 2).all()
    assert q.log_prob(points).exp().sum().item() / n**2 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("latent", [1, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_pathwise_gradient_is_that_of_the_expectation(name, latent):
    if (name, latent) == ("Dirichlet", 1):
        latent = 2  # of one proportion, which is 1, nothing can be learned
    generator = torch.Generator().manual_seed(9)
    A = torch.randn(latent, latent, generator=generator, dtype=torch.float64)
    b = torch.randn(latent, generator=generator, dtype=torch.float64)

    vector = parameters(name, latent).requires_grad_()
    mean, sigma = moments(name, vector, latent)
    # E[z'Az + b'z] = tr(A Sigma) + m'Am + b'm
    ((A * sigma.T).sum() + mean @ A @ mean + b @ mean).backward()

    samples = 40_000
    rows = vector.detach().expand(samples, -1).clone().requires_grad_()
    z = family(name)(rows).rsample()
    (torch.einsum("ni,ij,nj->n", z, A, z) + z @ b).sum().backward()
    error = 4 * rows.grad.std(0) / math.sqrt(samples)
    assert (error < 0.15 * vector.grad.abs().max()).all(), "the test could not tell"
    assert ((rows.grad.mean(0) - vector.grad).abs() <= error + 1e-9).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_have_the_moments(name):
    vector = parameters(name, 3)
    z = family(name)(vector).sample((40_000,))
    mean, sigma = moments(name, vector, 3)
    error = 4 * (sigma.diagonal() / len(z)).sqrt()
    assert ((z.mean(0) - mean).abs() < error).all()
    product = torch.einsum("ni,nj->nij", z - mean, z - mean)
    assert ((product.mean(0) - sigma).abs() < 4 * product.std(0) / math.sqrt(len(z))).all()


@pytest.mark.parametrize("batch", [(), (4,), (3, 4), (2, 1, 4)], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_shapes_under_any_leading_dimensions(name, batch):
    vector = parameters(name, 3).expand(*batch, -1)
    q = family(name)(vector)
    assert q.batch_shape == batch and q.event_shape == (3,) and q.has_rsample
    draws = q.rsample((7,))
    assert draws.shape == (7, *batch, 3) and q.log_prob(draws).shape == (7, *batch)
    wide = q.expand((5, *batch))
    assert wide.rsample().shape == (5, *batch, 3)
    assert wide.log_prob(draws[:5]).shape == (5, *batch)


@pytest.mark.parametrize("name", FAMILIES)
def test_double_copy_and_state(name):
    torch.manual_seed(0)
    part, other = (family(name, nn.Linear(4, size(name, 3))) for _ in range(2))
    x = torch.randn(5, 4)
    z = part(x).sample()
    single = part(x).log_prob(z)
    other.load_state_dict(part.state_dict())
    twin = copy.deepcopy(part)
    with torch.no_grad():
        twin.network.weight += 0.5
    assert torch.equal(other(x).log_prob(z), single)
    assert not torch.equal(twin(x).log_prob(z), single)
    double = part.double()(x.double())
    assert double.rsample().dtype == torch.float64
    torch.testing.assert_close(double.log_prob(z.double()).float(), single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_far_from_zero_give_finite_numbers(name):
    vector = torch.linspace(-60, 60, size(name, 3)).roll(2).requires_grad_()
    q = family(name)(vector)
    q.log_prob(q.rsample()).backward()
    assert torch.isfinite(vector.grad).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FullCovarianceNormal(nn.Linear(2, 6)), r"latent \* \(latent \+ 3\) / 2 .*, not 6"),
        (lambda: LowRankNormal(nn.Linear(2, 9)), r"latent \* 4 outputs .*, not 9"),
        (lambda: LowRankNormal(nn.Linear(2, 9), rank=0), "at least 1, not 0"),
        (lambda: MixtureOfNormals(nn.Linear(2, 11)), r"5 \* \(1 \+ 2 \* latent\) .*, not 11"),
        (lambda: MixtureOfNormals(nn.Linear(2, 5)), "not 5"),
        (lambda: MixtureOfNormals(nn.Linear(2, 5), components=0), "at least 1, not 0"),
        (lambda: Laplace(nn.Linear(2, 5)), r"2 \* latent outputs .*, not 5"),
        (lambda: StudentT(nn.Linear(2, 5)), r"3 \* latent outputs .*, not 5"),
    ],
)
def test_bad_sizes_are_told_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()(torch.zeros(1, 2))
    assert "\n" not in str(caught.value)


def test_many_degrees_of_freedom_are_a_normal():
    q = StudentT(nn.Identity())(torch.tensor([0.3, -0.2, 1e6], dtype=torch.float64))
    normal = torch.distributions.Normal(0.3, softplus(torch.tensor(-0.2)).double() + 1e-6)
    z = torch.tensor([1.0], dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(z), normal.log_prob(z)[0], rtol=1e-5, atol=1e-5)
