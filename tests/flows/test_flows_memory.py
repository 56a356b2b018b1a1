"""What a map remembers of a draw: enough never to invert it, and nothing that goes wrong later."""

from __future__ import annotations

import gc
import weakref

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from pyro_vae import flows


class Counted(flows.Bijection):
    """y = e^s x, counting."""

    def __init__(self, log_scale: Tensor) -> None:
        super().__init__()
        self.log_scale, self.forths, self.backs = log_scale, 0, 0

    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.forths += 1
        return x * self.log_scale.exp(), self.log_scale.sum(-1).expand(x.shape[:-1])

    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        self.backs += 1
        return y * (-self.log_scale).exp(), self.log_scale.sum(-1).expand(y.shape[:-1])


def case() -> tuple[nn.Parameter, Counted, dist.TorchDistribution]:
    log_scale = nn.Parameter(torch.tensor([0.3, -0.4], dtype=torch.float64))
    map = Counted(log_scale)
    base = dist.Normal(torch.zeros(2, dtype=torch.float64), 1.0).to_event(1)
    return log_scale, map, dist.TransformedDistribution(base, [map]).expand([5])


def exact(z: Tensor, log_scale: Tensor) -> Tensor:
    return dist.Normal(0.0, log_scale.exp()).to_event(1).log_prob(z)


def test_the_density_of_a_draw_takes_no_further_pass():
    _, map, q = case()
    z = q.rsample()
    q.log_prob(z)
    q.log_prob(z)
    assert (map.forths, map.backs) == (1, 0)


def test_another_value_is_inverted_once():
    log_scale, map, q = case()
    z = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(z), exact(z, log_scale))
    assert (map.forths, map.backs) == (0, 1)


def test_a_draw_without_gradient_has_a_density_with_one():
    log_scale, _, q = case()
    z = q.sample()
    assert not z.requires_grad
    density = q.log_prob(z)
    torch.testing.assert_close(density, exact(z, log_scale))
    (found,) = torch.autograd.grad(density.sum(), log_scale)
    (expected,) = torch.autograd.grad(exact(z, log_scale).sum(), log_scale)
    torch.testing.assert_close(found, expected)


def test_pyros_own_cache_would_lose_that_gradient():
    transform = dist.transforms.Householder(2)
    base = dist.Normal(torch.zeros(2), torch.tensor([1.0, 3.0])).to_event(1)
    q = dist.TransformedDistribution(base, [transform])
    assert not q.log_prob(q.sample((5,))).requires_grad


def test_one_value_can_be_scored_and_differentiated_twice():
    log_scale, _, q = case()
    z = torch.randn(5, 2, dtype=torch.float64)
    for _ in range(2):
        q.log_prob(z).sum().backward()
    (once,) = torch.autograd.grad(exact(z, log_scale).sum(), log_scale)
    torch.testing.assert_close(log_scale.grad, 2 * once)


def test_what_was_scored_is_not_kept():
    _, map, q = case()
    q.log_prob(torch.randn(5, 2, dtype=torch.float64))
    assert map._scored is None and map._drawn is None


def test_a_detached_draw_is_inverted():
    log_scale, map, q = case()
    z = q.rsample()
    torch.testing.assert_close(q.log_prob(z.detach()), exact(z, log_scale))
    assert map.backs == 1


@pytest.mark.parametrize("scored", [False, True])
def test_a_graph_goes_with_its_distribution(scored):
    _, map, q = case()
    z = q.rsample()
    q.log_prob(torch.randn(5, 2, dtype=torch.float64) if scored else z)
    held = weakref.ref(map)
    gc.disable()
    try:
        del map, q, z
        assert held() is None, "freed at once, not by the cycle collector"
    finally:
        gc.enable()


def test_an_inverse_map_remembers_as_well():
    log_scale, map, _ = case()
    base = dist.Normal(torch.zeros(2, dtype=torch.float64), 1.0).to_event(1)
    p = dist.TransformedDistribution(base, [flows.Inverse(map)])
    z = p.rsample((5,))
    torch.testing.assert_close(p.log_prob(z), exact(z, -log_scale))
    assert (map.forths, map.backs) == (0, 1)
    p.log_prob(torch.randn(5, 2, dtype=torch.float64))
    assert (map.forths, map.backs) == (1, 1), "the density of another value is one pass forth"
