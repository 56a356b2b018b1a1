"""The implicit gradient of a mixture, where it has an exact counterpart sample by sample."""

from __future__ import annotations

import torch
from torch import nn
from torch.autograd.functional import jacobian

from pyro_vae.posteriors import MixtureOfNormals


def distribution_functions(vector, z, components):
    """S_i(z_1..z_i) for each dimension i of one z, by a loop over the docstring's definition."""
    latent = len(z)
    weight = vector[:components].softmax(0)
    loc, raw = vector[components:].reshape(2, components, latent)
    normal = torch.distributions.Normal(loc, nn.functional.softplus(raw) + 1e-6)
    values = []
    for i in range(latent):
        values.append((weight * normal.cdf(z)[:, i]).sum())
        weight = weight * normal.log_prob(z)[:, i].exp()
        weight = weight / weight.sum()
    return torch.stack(values)


def slope(vector, z, components):
    """dz/dphi by solving the implicit equation with autograd's Jacobians."""
    in_phi, in_z = jacobian(
        lambda v, point: distribution_functions(v, point, components), (vector, z)
    )
    return -torch.linalg.solve(in_z, in_phi)


def test_each_sample_keeps_its_quantiles():
    for latent, components in [(1, 3), (2, 1), (3, 2), (4, 3)]:
        torch.manual_seed(latent)
        vector = torch.randn(components * (1 + 2 * latent), dtype=torch.float64)
        part = MixtureOfNormals(nn.Identity(), components=components)
        torch.manual_seed(1)
        found = jacobian(lambda v, part=part: _seeded(part, v), vector)
        z = _seeded(part, vector)
        torch.testing.assert_close(found, slope(vector, z, components), rtol=1e-7, atol=1e-9)


def _seeded(part, vector):
    torch.manual_seed(1)
    return part(vector).rsample()


def test_the_gradient_can_be_followed_again():
    """The derivative of dz/dphi along phi, with z moving as phi does, by central differences."""
    components, latent = 2, 2
    torch.manual_seed(3)
    vector = torch.randn(components * (1 + 2 * latent), dtype=torch.float64)
    part = MixtureOfNormals(nn.Identity(), components=components)
    v = vector.clone().requires_grad_()
    z = _seeded(part, v)
    direction = torch.tensor([0.7, -1.1], dtype=torch.float64)
    (first,) = torch.autograd.grad(z @ direction, v, create_graph=True)
    along = torch.randn(len(vector), dtype=torch.float64)
    (second,) = torch.autograd.grad(first @ along, v)
    # To first order z moves by its own slope. The error is h^2 times third derivatives.
    h = 1e-5
    expected = []
    for unit in torch.eye(len(vector), dtype=torch.float64):
        ends = [
            along
            @ (slope(vector + s * h * unit, _moved(vector, z.detach(), s * h * unit), 2).T)
            @ direction
            for s in (1, -1)
        ]
        expected.append((ends[0] - ends[1]) / (2 * h))
    torch.testing.assert_close(second, torch.stack(expected), rtol=1e-5, atol=1e-6)


def _moved(vector, z, change):
    return z + slope(vector, z, 2) @ change


def test_coinciding_components_and_far_tails_are_finite():
    part = MixtureOfNormals(nn.Identity(), components=3)
    vector = torch.zeros(3 * 3, requires_grad=True)
    part(vector).rsample((1000,)).sum().backward()
    assert torch.isfinite(vector.grad).all()
    # Modes 40 standard deviations apart, in single precision.
    far = torch.tensor([0.0, 0.5, 0.0, -20.0, 20.0, 0.0, 0.5, 0.5, 0.5], requires_grad=True)
    part(far).rsample((1000,)).square().sum().backward()
    assert torch.isfinite(far.grad).all()
