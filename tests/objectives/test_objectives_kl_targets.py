"""Capacity, free bits and GECO against their formulas, on programs whose KL is known."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from penalty_programs import Toy, loss_of, normal, points
from pyro.infer import SVI

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.capacity import CapacityELBO
from pyro_vae.objectives.free_bits import FreeBits
from pyro_vae.objectives.geco import GECO
from pyro_vae.schedules import Linear
from pyro_vae.terms import ProgramError


def parts(toy: Toy, x: torch.Tensor):
    """log p(x|z) of each example, and the KL of each dimension and example."""
    pyro.set_rng_seed(3)
    q = toy.q(x).base_dist
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", toy.q(x))
    mean = toy.nets["decoder"](z)
    kl = 0.5 * (q.loc**2 + q.scale**2 - 1.0) - q.scale.log()
    return -0.5 * (x - mean).square().sum(-1) - 1.5 * math.log(2 * math.pi), kl


@pytest.mark.parametrize("capacity", [0.0, 0.4, 5.0])
def test_capacity_is_of_the_mean_over_the_batch(capacity):
    toy, x = Toy(), points()
    reconstruction, kl = parts(toy, x)
    rate = kl.sum(-1).mean()
    assert 0.4 < rate < 5.0 and (kl.sum(-1) < rate).any()
    expected = reconstruction.sum() - 7.0 * len(x) * (rate - capacity).abs()
    assert loss_of(CapacityELBO(7.0, capacity), toy, x).item() == pytest.approx(
        -expected.item(), rel=1e-12
    )


def test_capacity_of_a_latent_that_all_share():
    """The mean over examples takes an example's part of it."""
    x = torch.zeros(4, dtype=torch.float64)

    def model(x):
        shift = pyro.sample("shift", normal())
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", normal())
            pyro.sample("x", dist.Delta(x, log_density=0.0 * (z + shift)), obs=x)

    def guide(x):
        pyro.sample("shift", dist.Normal(x.new_tensor(2.0), 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.new_tensor(1.0), 1.0))

    # 0.5 nats for each example, and 2 for all four together: 1 on average.
    for capacity, loss in ((1.0, 0.0), (3.0, 8.0), (0.0, 4.0)):
        objective = CapacityELBO(1.0, capacity)
        assert objective.loss(model, guide, x) == pytest.approx(loss, abs=1e-12)


def test_capacity_rises_by_a_schedule():
    objective = CapacityELBO(Linear(10, 0.0, 100.0), Linear(10, 0.0, 25.0))
    objective.advance(4)
    assert objective.weights() == {"gamma": 40.0, "capacity": 10.0}


@pytest.mark.parametrize("kl", ["auto", "sampled"])
@pytest.mark.parametrize("nats", [0.0, 0.2, 0.5, 3.0])
def test_free_bits_take_the_maximum_after_the_mean(nats, kl):
    toy, x = Toy(), points()
    reconstruction, exact = parts(toy, x)
    if kl == "sampled":
        pyro.set_rng_seed(3)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", toy.q(x))
        exact = toy.q(x).base_dist.log_prob(z) - normal(2).base_dist.log_prob(z)
    mean = exact.mean(0)
    for per, spent in (
        ("dimension", mean.clamp(min=nats).sum()),
        ("site", mean.sum().clamp(min=nats)),
    ):
        expected = -reconstruction.sum() + len(x) * spent
        loss = loss_of(FreeBits(nats, per, kl=kl), toy, x)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_free_bits_have_a_dimension_that_is_free_and_one_that_is_not():
    toy, x = Toy(), points()
    _, kl = parts(toy, x)
    low, high = kl.mean(0).sort().values.tolist()
    free, paid = kl.mean(0).argsort().tolist()
    objective = FreeBits((low + high) / 2)
    encoder = toy.nets["encoder"]
    for p in toy.nets["decoder"].parameters():
        p.data.zero_()  # so that z gives nothing to reconstruction
    (gradient,) = torch.autograd.grad(loss_of(objective, toy, x), [encoder.bias])
    assert gradient[[free, free + 2]].abs().max() == 0.0
    assert gradient[[paid, paid + 2]].abs().min() > 1e-3


@pytest.mark.parametrize("particles", [1, 3])
def test_no_free_bits_are_the_elbo(particles):
    """Where every dimension is above, its mean is what counts."""
    toy, x = Toy(), points()
    expected = loss_of(ELBO(particles=particles), toy, x)
    for per in ("dimension", "site"):
        loss = loss_of(FreeBits(0.0, per, particles=particles), toy, x)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_free_bits_refuse_what_has_no_dimensions():
    full = dist.MultivariateNormal
    x = points()
    toy = Toy(posterior=lambda loc, raw: full(loc, scale_tril=torch.diag_embed(raw.exp())))
    with pytest.raises(ProgramError, match=r"'z' .*MultivariateNormal in the guide is not a prod"):
        loss_of(FreeBits(0.1), toy, x)
    assert loss_of(FreeBits(0.1, "site"), toy, x).isfinite()
    pyro.clear_param_store()
    eye = torch.eye(2, dtype=torch.float64)
    toy = Toy(prior=lambda: full(eye[0], covariance_matrix=eye))
    with pytest.raises(ProgramError, match="MultivariateNormal in the model is not a product"):
        loss_of(FreeBits(0.1), toy, x)


def with_shared() -> Toy:
    toy = Toy()
    inner_model, inner_guide = toy.model, toy.guide

    def model(x):
        pyro.sample("w", normal())
        inner_model(x)

    def guide(x):
        pyro.sample("w", dist.Normal(x.new_tensor(1.0), 1.0))
        inner_guide(x)

    toy.model, toy.guide = model, guide
    return toy


@pytest.mark.parametrize("per", ["dimension", "site"])
def test_free_bits_of_one_site_among_several(per):
    toy, x = with_shared(), points()
    with pytest.raises(ProgramError, match=r"'w' lies outside the data plate.*FreeBits\(site="):
        loss_of(FreeBits(0.1, per), toy, x)
    with pytest.raises(ProgramError, match=r"FreeBits\(site='v'\): there is no such latent site"):
        loss_of(FreeBits(0.1, per, site="v"), toy, x)
    _, kl = parts(toy, x)
    # The other latent's half a nat is the ELBO's.
    plain = loss_of(FreeBits(0.0, per, site="z"), toy, x)
    assert plain.item() == pytest.approx(loss_of(ELBO(), toy, x).item(), rel=1e-12)
    many = loss_of(FreeBits(9.0, per, site="z"), toy, x) - plain
    groups = 2 if per == "dimension" else 1
    assert many.item() == pytest.approx(6 * 9.0 * groups - kl.sum().item(), rel=1e-9)


def test_geco_is_the_lagrangian():
    toy, x = Toy(), points()
    reconstruction, kl = parts(toy, x)
    loss = loss_of(GECO(4.0, multiplier=2.5), toy, x)
    expected = 2.5 * (reconstruction + 4.0).sum() - kl.sum()
    assert loss.item() == pytest.approx(-expected.item(), rel=1e-12)


def test_the_multiplier_follows_the_moving_average_of_the_constraint():
    toy, x = Toy(), points()
    error = -parts(toy, x)[0].mean().item()
    objective = GECO(error - 0.3, rate=0.1, decay=0.5)
    multiplier, average, seen = 1.0, 0.0, 0.0
    for step in range(6):
        violation = 0.3
        if step == 3:  # the constraint holds from here on, by far
            objective.tolerance.fill_(error + 50.0)
        if step >= 3:
            violation = -50.0
        loss_of(objective, toy, x)
        average, seen = 0.5 * average + 0.5 * violation, 0.5 * seen + 0.5
        multiplier *= math.exp(0.1 * min(max(average / seen, -1.0), 1.0))
        assert objective.weights() == {"multiplier": pytest.approx(multiplier, rel=1e-9)}
    assert multiplier < math.exp(0.09)


def test_the_multiplier_rests_without_gradients_and_is_saved():
    toy, x = Toy(), points()
    objective = GECO(0.0)
    objective.loss(toy.model, toy.guide, x)
    assert objective.weights() == {"multiplier": 1.0}
    loss_of(objective, toy, x)
    assert objective.weights()["multiplier"] == pytest.approx(math.exp(0.01))
    other = GECO(0.0)
    other.load_state_dict(objective.state_dict())
    assert other.weights() == objective.weights() and float(other.seen) == pytest.approx(0.01)


def test_geco_finds_the_reconstruction_that_is_asked_for():
    """Noise of scale s in z costs s^2 / 2 nats of reconstruction; GECO leaves in what it may."""
    x = torch.linspace(-1.0, 1.0, 40, dtype=torch.float64)
    slope = torch.tensor(1.0, dtype=torch.float64)
    raw = torch.nn.Parameter(torch.tensor(-3.0, dtype=torch.float64))

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", normal())
            pyro.sample("x", dist.Normal(z, slope), obs=x)

    def guide(x):
        pyro.param("raw", raw)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x, raw.exp()))

    floor = 0.5 * math.log(2 * math.pi)
    objective = GECO(floor + 0.08, rate=0.1, decay=0.9)  # s^2 / 2 = 0.08, s = 0.4
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), objective)
    scales = []
    for step in range(600):
        svi.step(x)
        if step >= 400:
            scales.append(raw.exp().item())
    # Here the multiplier comes to rest near beta = 1 / lambda = s^2 / (1 - s^2) = 0.19.
    assert sum(scales) / len(scales) == pytest.approx(0.4, abs=0.05)
    assert objective.weights()["multiplier"] == pytest.approx((1 - 0.16) / 0.16, rel=0.3)
