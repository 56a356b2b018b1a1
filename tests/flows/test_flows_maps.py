"""Every map: its inverse, its determinant, its broadcasting, and zuko's where zuko has the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pyro_vae import flows

BATCH = 3


def draw(*size: int) -> Tensor:
    return torch.randn(*size, dtype=torch.float64)


def masked(latent: int, elementwise: flows.Elementwise, backwards: bool = False) -> flows.Bijection:
    net = flows.MaskedNetwork(latent, elementwise.parameters, 16, 4, backwards).double()
    context = draw(BATCH, 4)
    return flows.Autoregressive(lambda x: 3 * net(x, context), net.rank, elementwise)


def coupling(
    latent: int, elementwise: flows.Elementwise, backwards: bool = False
) -> flows.Bijection:
    kept = latent // 2
    sizes = (latent - kept, elementwise.parameters)
    net = nn.Sequential(
        nn.Linear(kept, 8), nn.Tanh(), nn.Linear(8, sizes[0] * sizes[1]), nn.Unflatten(-1, sizes)
    ).double()
    return flows.Coupling(net, kept, elementwise, backwards)


MAPS = {
    "planar": lambda d: flows.Planar(2 * draw(BATCH, d), draw(BATCH, d), draw(BATCH, 1)),
    "householder": lambda d: flows.Householder(draw(BATCH, 3, d)),
    "sylvester": lambda d: flows.Sylvester(
        draw(BATCH, d, d), 2 * draw(BATCH, d, d), 2 * draw(BATCH, 2, d)
    ),
    "sylvester of less rank": lambda d: flows.Sylvester(
        draw(BATCH, d - 1, d), draw(BATCH, d - 1, d - 1), draw(BATCH, 2, d - 1)
    ),
    "affine autoregressive": lambda d: masked(d, flows.Affine()),
    "affine autoregressive, backwards": lambda d: masked(d, flows.Affine(), True),
    "spline autoregressive": lambda d: masked(d, flows.RationalQuadratic(5, 2.0)),
    "affine coupling": lambda d: coupling(d, flows.Affine()),
    "spline coupling, backwards": lambda d: coupling(d, flows.RationalQuadratic(5, 2.0), True),
    "inverse": lambda d: flows.Inverse(masked(d, flows.Affine())),
}
each_map = pytest.mark.parametrize("name", MAPS)
each_size = pytest.mark.parametrize("latent", [2, 3, 4])


@each_map
@each_size
def test_the_determinant_is_that_of_autograds_jacobian(name, latent):
    map, x = MAPS[name](latent), 2 * draw(BATCH, latent)
    y, log_det = map.forth(x)
    assert y.shape == x.shape and log_det.shape == (BATCH,)
    jacobian = torch.autograd.functional.jacobian(lambda x: map.forth(x)[0], x)
    rows = torch.arange(BATCH)
    own = jacobian[rows, :, rows]
    torch.testing.assert_close(log_det, torch.linalg.slogdet(own)[1], rtol=1e-10, atol=1e-10)
    jacobian[rows, :, rows] = 0.0
    assert not jacobian.any(), "no example hears of another"


@each_map
@each_size
def test_back_undoes_forth(name, latent):
    map, x = MAPS[name](latent), 2 * draw(BATCH, latent)
    y, log_det = map.forth(x)
    again, same = map.back(y)
    # A slope of 1e-3 in between would cost three of sixteen digits, and there are a few of them.
    torch.testing.assert_close(again, x, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(same, log_det, rtol=1e-7, atol=1e-7)


@each_map
def test_the_gradient_of_back_is_the_inverse_of_that_of_forth(name):
    map, x = MAPS[name](3), draw(BATCH, 3)
    forth = torch.autograd.functional.jacobian(lambda x: map.forth(x)[0].sum(0), x)
    back = torch.autograd.functional.jacobian(lambda y: map.back(y)[0].sum(0), map.forth(x)[0])
    product = torch.einsum("ikn,kjn->nij", back.movedim(1, -1), forth.movedim(1, -1))
    eye = torch.eye(3, dtype=torch.float64).expand(BATCH, 3, 3)
    torch.testing.assert_close(product, eye, rtol=1e-7, atol=1e-7)


@each_map
@pytest.mark.parametrize("way", ["forth", "back"])
def test_leading_dimensions_broadcast_both_ways(name, way):
    map = MAPS[name](3)
    many, one = draw(5, BATCH, 3), draw(5, 1, 3)
    values, log_dets = getattr(map, way)(many)
    for row, value, log_det in zip(many, values, log_dets, strict=True):
        expected = getattr(map, way)(row)
        torch.testing.assert_close((value, log_det), expected, rtol=1e-12, atol=1e-12)
    if "coupling" not in name:  # which has no parameters with a batch here
        found = getattr(map, way)(one)
        expected = getattr(map, way)(one.expand(5, BATCH, 3).contiguous())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_zero_parameters_give_the_identity():
    x = draw(4, 3)
    zero = torch.zeros(3, dtype=torch.float64)
    planar = flows.Planar(zero, zero, zero[:1])
    torch.testing.assert_close(planar.forth(x), (x, torch.zeros(4, dtype=torch.float64)))
    for map in (flows.Affine(), flows.RationalQuadratic()):
        theta = torch.zeros(3, map.parameters, dtype=torch.float64)
        torch.testing.assert_close(map.forth(x, theta), (x, torch.zeros_like(x)))
    assert torch.equal(flows.Householder(zero[None]).forth(x)[0], x)


def test_a_spline_is_the_identity_outside_its_bound_and_at_it():
    spline = flows.RationalQuadratic(5, bound=2.0)
    x = torch.tensor([-9.0, -2.0, 2.0, 9.0], dtype=torch.float64, requires_grad=True)
    theta = draw(4, spline.parameters).requires_grad_()
    for way in (spline.forth, spline.back):
        y, log_slope = way(x, theta)
        assert torch.equal(y, x) and not log_slope.any()
        (y + log_slope).sum().backward()
        assert theta.grad.isfinite().all() and not theta.grad.any()


def test_splines_are_zukos():
    transforms = pytest.importorskip("zuko.transforms")
    spline = flows.RationalQuadratic(6, bound=3.0)
    theta, x = 3 * draw(50, spline.parameters), 2 * draw(50)
    other = transforms.MonotonicRQSTransform(*theta.split([6, 6, 5], -1), bound=3.0)
    expected = other.call_and_ladj(x)
    torch.testing.assert_close(spline.forth(x, theta), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(spline.back(expected[0], theta)[0], x, rtol=1e-7, atol=1e-7)


def test_affine_maps_are_zukos():
    transforms = pytest.importorskip("zuko.transforms")
    theta, x = 5 * draw(50, 2), draw(50)
    other = transforms.MonotonicAffineTransform(*theta.unbind(-1))
    torch.testing.assert_close(flows.Affine().forth(x, theta), other.call_and_ladj(x))


def test_autoregressive_maps_are_zukos():
    transforms = pytest.importorskip("zuko.transforms")
    affine, spline = flows.Affine(), flows.RationalQuadratic(4)
    kinds = {
        affine: lambda theta: transforms.MonotonicAffineTransform(*theta.unbind(-1)),
        spline: lambda theta: transforms.MonotonicRQSTransform(*theta.split([4, 4, 3], -1)),
    }
    for elementwise, kind in kinds.items():
        net = flows.MaskedNetwork(3, elementwise.parameters, 16).double()
        map = flows.Autoregressive(net, net.rank, elementwise)
        other = transforms.AutoregressiveTransform(lambda x, n=net, k=kind: k(n(x)), passes=3)
        x = draw(7, 3)
        y, log_slopes = other.call_and_ladj(x)
        expected = (y, log_slopes.sum(-1))
        torch.testing.assert_close(map.forth(x), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(map.back(y)[0], other.inv(y))


def test_planar_and_sylvester_are_one_where_sylvester_has_one_direction():
    v, matrix, diagonals = draw(1, 3), draw(1, 1), draw(2, 1)
    sylvester = flows.Sylvester(v, matrix, diagonals)
    q = torch.eye(3, dtype=torch.float64)[0] - 2 * v[0, 0] * v[0] / v[0].square().sum()
    r, s = diagonals.tanh().squeeze(-1)
    x = draw(5, 3)
    y = x + r * q * torch.tanh(s * (x @ q) + matrix[0])[:, None]
    torch.testing.assert_close(sylvester.forth(x)[0], y)


@pytest.mark.parametrize("latent", [1, 3])
def test_a_masked_network_hears_only_of_what_comes_before(latent):
    for backwards in (False, True):
        net = flows.MaskedNetwork(latent, 2, 8, context=4, backwards=backwards).double()
        context = draw(4)
        x = draw(latent)
        heard = torch.autograd.functional.jacobian(lambda x, n=net, c=context: n(x, c), x)
        before = net.rank[None] < net.rank[:, None]
        assert torch.equal(heard.abs().sum(1) > 0, before)
        from_context = torch.autograd.functional.jacobian(lambda c, n=net, x=x: n(x, c), context)
        assert (from_context.abs().sum((1, 2)) > 0).all()


def test_a_masked_network_counts_from_either_end():
    assert flows.MaskedNetwork(4, 2, 8).rank.tolist() == [0, 1, 2, 3]
    assert flows.MaskedNetwork(4, 2, 8, backwards=True).rank.tolist() == [3, 2, 1, 0]


def test_too_narrow_a_masked_network_says_so():
    with pytest.raises(ValueError, match="hidden is at least latent"):
        flows.MaskedNetwork(5, 2, hidden=4)


@pytest.mark.parametrize("context", [0, 5])
@pytest.mark.parametrize("parameters", [1, 2])
def test_a_masked_network_hears_of_those_before_only(context, parameters):
    torch.manual_seed(0)
    net = flows.MaskedNetwork(3, parameters, hidden=16, context=context)
    given = (torch.randn(7, context),) if context else ()
    assert net(torch.randn(7, 3), *given).shape == (7, 3, parameters)
    one = (torch.randn(context),) if context else ()
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x, *one), torch.randn(3))
    assert jacobian.shape == (3, parameters, 3)
    for i in range(3):
        assert (jacobian[i, :, i:] == 0).all()
        assert (jacobian[i, :, :i] != 0).all()
