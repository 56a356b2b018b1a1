"""What every likelihood promises, whatever its family."""

from __future__ import annotations

import math

import pyro
import pytest
import torch
from torch import nn

from pyro_vae import likelihoods
from pyro_vae.checks import check
from pyro_vae.evaluation import generate
from pyro_vae.likelihoods import Mixed, Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

BATCHES = [(), (4,), (3, 4), (2, 1, 4)]


def latents(*batch: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*batch, 2, generator=generator, dtype=torch.float64).to(dtype)


def programs(case):
    """A VAE on this likelihood, and data that it could have made."""
    part = case.build()
    features = math.prod(case.shape)
    guide = vae.Guide(DiagonalNormal(MLP(case.shape, 4, hidden=[5])))
    assert part(latents(5)).event_shape.numel() == features
    return vae.Model(StandardNormal(2), part), guide, part(latents(5)).sample()


def test_all_are_here(cases):
    found = {getattr(likelihoods, name) for name in likelihoods.__all__ if name[0].isupper()}
    assert found - {likelihoods.Likelihood} == {case.kind for case in cases}


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_shapes_under_any_leading_dimensions(case, batch):
    p = case.build()(latents(*batch))
    assert p.batch_shape == batch and p.event_shape == case.shape
    assert p.mean.shape == batch + case.shape and p.mean.isfinite().all()
    draws = p.sample((7,))
    assert draws.shape == (7, *batch, *case.shape) and draws.dtype == torch.float32
    assert p.log_prob(draws).shape == (7, *batch)


def test_expanded_it_is_the_same_distribution(case):
    p = case.build().eval()(latents(4))
    wide = p.expand((3, 4))
    assert wide.batch_shape == (3, 4) and wide.event_shape == case.shape
    draws = wide.sample()
    assert draws.shape == (3, 4, *case.shape)
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(wide.log_prob(draws), p.log_prob(draws), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(wide.mean[2], p.mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(1,), (6,), (4, 5), (1, 4, 5), (3, 2, 2)], ids=str)
def test_outputs_is_what_forward_needs(case, shape):
    if case.kind is Mixed and shape != (6,):
        with pytest.raises(ValueError, match="6 families and x has event shape"):
            case.build(shape)
        return
    assert len(case.outputs(shape)) == len(shape)  # so that any network will do
    assert case.build(shape)(latents(4)).event_shape == shape


def test_a_network_of_another_size_is_told(case):
    wanted = case.outputs(case.shape)[0]
    if wanted == case.shape[0]:
        return
    part = case.kind(MLP(2, (wanted + 1, *case.outputs(case.shape)[1:])), **case.options)
    with pytest.raises(ValueError, match=r"numbers .* events of shape") as caught:
        part(latents(4))
    assert "\n" not in str(caught.value)


def test_it_trains_under_vectorised_particles(case):
    model, guide, x = programs(case)
    loss = ELBO(particles=3).loss_and_grads(model, guide, x)
    assert math.isfinite(loss)
    for program in (model, guide):
        for name, parameter in program.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name


def test_particles_in_one_pass_or_several_are_scored_alike(case):
    part = case.build().eval()
    z = latents(3, 4)
    x = part(z[0]).sample()
    apart = torch.stack([part(one).log_prob(x) for one in z])
    torch.testing.assert_close(part(z).log_prob(x), apart, rtol=1e-5, atol=1e-5)


def test_the_model_generates(case):
    model, _, x = programs(case)
    means, draws = (generate(model, x, n=8, mean=mean) for mean in (True, False))
    assert means.shape == draws.shape == (8, *case.shape)
    assert means.isfinite().all() and model.likelihood(latents(8)).log_prob(draws).isfinite().all()


def test_masked_and_unmasked_entries_add_up(case):
    part, z = case.build().double().eval(), latents(4, dtype=torch.float64)
    x = part(z).sample()
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    whole, known, rest = (part(z, m).log_prob(x) for m in (None, mask, ~mask))
    torch.testing.assert_close(known + rest, whole, rtol=1e-12, atol=1e-12)
    assert torch.equal(part(z, torch.ones_like(mask)).log_prob(x), whole)
    assert torch.equal(part(z, torch.zeros_like(mask)).log_prob(x), torch.zeros_like(whole))
    # Masking an entry is dropping its term, and no other.
    terms = part(z).base_dist.log_prob(x)
    expected = torch.where(mask, terms, 0).flatten(1).sum(-1)
    torch.testing.assert_close(known, expected, rtol=1e-12, atol=1e-12)
    # A mask of the data serves every particle.
    several = part(torch.stack([z, z]), mask).log_prob(x)
    torch.testing.assert_close(several, torch.stack([known, known]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("filled", [float("nan"), float("inf"), -7.5])
def test_masked_entries_may_hold_anything(case, filled):
    part, z = case.build(), latents(4)
    x = part(z).sample()
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    results = []
    for value in (x, torch.where(mask, x, filled)):
        part.eval().zero_grad()
        density = part(z, mask).log_prob(value)
        density.sum().backward()
        results.append([density, *(p.grad.clone() for p in part.parameters())])
    for clean, other in zip(*results, strict=True):
        assert torch.equal(clean, other)


def test_a_bad_mask_is_told(case):
    part, z = case.build(), latents(4)
    with pytest.raises(TypeError, match="a mask is boolean"):
        part(z, torch.ones(4, *case.shape))
    with pytest.raises(ValueError, match=r"a mask has the shape of the data, \(4, ") as caught:
        part(z, torch.ones(5, *case.shape, dtype=torch.bool))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="a mask has the shape of the data"):
        part(latents(), torch.ones(4, *case.shape, dtype=torch.bool))


def test_double_makes_every_number_double(case):
    part = case.build().eval()
    x = part(latents(4)).sample()
    single = part(latents(4)).log_prob(x)
    part.double()
    p = part(latents(4, dtype=torch.float64))
    double = p.log_prob(x.double())
    assert double.dtype == p.sample().dtype == p.mean.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_draws_have_the_mean_that_it_says(case):
    p = case.build().double()(latents(4, dtype=torch.float64))
    draws = p.sample((4000,))
    error = draws.std(0) / len(draws) ** 0.5
    # Each of 24 numbers is beyond 4 standard errors once in 16,000 seeds.
    assert ((draws.mean(0) - p.mean).abs() <= 4 * error + 1e-12).all()


def test_draws_lie_in_the_support(case):
    part = case.build()
    draws = part(latents(4)).sample((50,))
    assert case.support(part, draws).all()
    if case.kind is not Mixed and "levels" not in case.options:
        assert case.kind.takes(draws)


def grid(case) -> tuple[torch.Tensor, torch.Tensor]:
    """Points over the whole support and the logarithm of what each stands for."""
    discrete = case.on(torch.zeros(case.outputs((1,))))(torch.zeros(2)).base_dist.support
    if discrete.is_discrete and case.kind.values == "grey":
        levels = case.options.get("levels", 256)
        points = torch.arange(levels, dtype=torch.float64) / (levels - 1)
        return points, torch.zeros_like(points)
    if case.kind.values in ("binary", "counts"):
        points = torch.arange(3000, dtype=torch.float64)
        return points, torch.zeros_like(points)
    step = 0.005
    t = torch.arange(-35, 35 + step, step, dtype=torch.float64)
    if case.kind.values == "grey":
        points = t.sigmoid()
        return points, points.log() + (-t).sigmoid().log() + math.log(step)
    points = t.sinh()
    return points, t.cosh().log() + math.log(step)


def test_all_mass_is_one(case):
    if case.kind is Mixed:  # held against its families, each of which is here
        return
    points, weights = grid(case)
    part = case.build((1,)).double()
    inside = case.support(part, points[:, None, None]).flatten()
    x = points[inside][:, None, None]
    with torch.no_grad():
        density = part(latents(3, dtype=torch.float64)).log_prob(x)
    mass = (density + weights[inside][:, None]).logsumexp(0)
    # The trapezoidal rule is off by step^2 / 12 times the jump of the slope where there is a kink.
    torch.testing.assert_close(mass, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-5)


#: Edges of every support, and numbers far out.
EXTREMES = [0.0, 1.0, 1e-30, 1e-6, 0.5, 1 - 6e-8, 1 / 255, 254 / 255, 3.0, 255.0, 1e5, -1e5]


def test_values_and_gradients_stay_finite_at_extremes(case):
    combinations = 30 if case.kind is Mixed else 300
    generator = torch.Generator().manual_seed(0)

    def pick(values: list[float], *shape: int) -> torch.Tensor:
        index = torch.randint(len(values), shape, generator=generator)
        return torch.tensor(values)[index]

    shape = case.shape if case.kind is Mixed else (combinations,)
    rows = combinations if case.kind is Mixed else 1
    for _ in range(rows):
        part = case.on(
            pick([-200.0, -50.0, -17.0, -1.0, 0.0, 1.0, 17.0, 50.0], *case.outputs(shape))
        )
        x = pick(EXTREMES, 1, *shape)
        z = torch.zeros(1, 2)
        part.eval()
        known = case.support(part, x)
        density = part(z, known).log_prob(x)
        density.sum().backward()
        assert density.isfinite().all()
        for name, parameter in part.named_parameters():
            assert parameter.grad.isfinite().all(), name


def test_data_outside_the_support_are_an_error_that_names_the_value(case):
    model, guide, x = programs(case)
    assert check(model, guide, x).problems == []
    for wrong in (0.3, -1.5, 1.5, float("nan"), float("inf")):
        value = x.clone()
        value[1].view(-1)[0] = wrong
        inside = math.isfinite(wrong) and case.support(model.likelihood, value).all()
        problems = check(model, guide, value).problems
        if inside:
            assert problems == []
        else:
            assert len(problems) == 1 and f"contain {wrong:.3g} at [1, 0" in problems[0]
        if not case.support(model.likelihood, value).all():
            with pytest.raises(ValueError, match="support"):
                model.likelihood(latents(5)).log_prob(value)


def test_without_validation_nothing_is_checked(case):
    part = case.build()
    with pyro.validation_enabled(False):
        p = part(latents(4))
        assert p.log_prob(p.sample()).isfinite().all()


def test_a_number_for_the_network_to_say_needs_a_dimension():
    with pytest.raises(ValueError, match=r"unsqueeze it, x\[\.\.\., None\]"):
        Normal.outputs((), scale="per-pixel")
    assert Normal.outputs(()) == ()


def test_numbers_of_one_entry_are_neighbours(make):
    # Two channels of 1x2 pixels: channel c has its mean at 2c and its scale at 2c + 1.
    numbers = torch.arange(8.0).reshape(4, 1, 2)
    p = make("Normal", numbers, scale="per-pixel")(torch.zeros(2))
    assert p.event_shape == (2, 1, 2)
    assert torch.equal(p.mean, torch.tensor([[[0.0, 1.0]], [[4.0, 5.0]]]))
    assert torch.equal(p.base_dist.scale.argsort(0)[:, 0, 0], torch.tensor([0, 1]))
    start = nn.functional.softplus(torch.tensor(2.0)) / math.log(2) + 1e-3
    torch.testing.assert_close(p.base_dist.scale[0, 0, 0], start)
