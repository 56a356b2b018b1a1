"""Refined posteriors: by hand, by the bound, and by what training follows."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from linear_gaussian_programs import known
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn.functional import softplus

from pyro_vae import ELBO, explain, fit
from pyro_vae.data import LinearGaussian
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import (
    DiagonalNormal,
    Dirichlet,
    FullCovarianceNormal,
    LowRankNormal,
    MixtureOfNormals,
    PerExample,
    SemiAmortized,
    StudentT,
)
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, log_joint, vae
from pyro_vae.terms import site_terms


def encoder(outputs: int = 6, inputs: int = 5) -> nn.Linear:
    torch.manual_seed(4)
    return nn.Linear(inputs, outputs).double()


def binary_pair(**options):
    torch.manual_seed(0)
    x = (torch.rand(6, 5) < 0.5).double()
    model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 5, [4]))).double()
    base = DiagonalNormal(MLP(5, 4, [4])).double()
    return model, vae.Guide(SemiAmortized(base, log_joint(model), **options)), x


@pytest.mark.parametrize("through", [True, False])
def test_it_is_gradient_ascent_by_hand(through):
    case = known()
    truth: LinearGaussian = case.truth
    base = DiagonalNormal(encoder())
    part = SemiAmortized(base, log_joint(case.model), 4, 0.01, particles=3, through=through)
    torch.manual_seed(8)
    q = part(case.x)

    torch.manual_seed(8)
    loc, raw = base.network(case.x).detach().chunk(2, -1)
    mean, covariance = truth.posterior(case.x)
    for _ in range(4):
        noise = torch.randn(3, *loc.shape, dtype=torch.float64)
        scale = softplus(raw) + 1e-6
        # grad_z log p(x, z) is that of the exact posterior; log q adds 1 / sigma in sigma alone.
        pull = (mean - loc - scale * noise) @ covariance.inverse()
        loc = loc + 0.01 * pull.mean(0)
        raw = raw + 0.01 * ((pull * noise).mean(0) + 1 / scale) * raw.sigmoid()
    torch.testing.assert_close(q.mean, loc, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(q.stddev, softplus(raw) + 1e-6, rtol=1e-11, atol=1e-11)


def test_the_bound_rises_with_the_steps():
    case = known()
    exact = MultivariateNormal(*case.truth.posterior(case.x))

    def gap(steps: int) -> float:
        base = DiagonalNormal(encoder())
        part = SemiAmortized(base, log_joint(case.model), steps, 0.02, particles=30)
        torch.manual_seed(0)
        q = part(case.x)
        full = MultivariateNormal(q.mean, torch.diag_embed(q.variance))
        return kl_divergence(full, exact).mean().item()

    gaps = [gap(steps) for steps in (0, 1, 3, 10, 30, 100)]
    assert all(after < before for before, after in pairwise(gaps)), gaps
    precision = case.truth.posterior(case.x)[1].inverse()
    least = 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()
    assert least <= gaps[-1] < least + 0.05 * (gaps[0] - least)


def test_no_steps_leave_the_base():
    case = known()
    base = FullCovarianceNormal(encoder(9))
    part = SemiAmortized(base, log_joint(case.model), steps=0)
    z = base(case.x).sample()
    assert torch.equal(part(case.x).log_prob(z), base(case.x).log_prob(z))


def loss_of(model, guide, x) -> Tensor:
    torch.manual_seed(2)
    return ELBO(kl="sampled", particles=2).differentiable_loss(model, guide, x)


def central_difference(model, guide, x, parameter: Tensor, h: float = 1e-5) -> float:
    """The derivative of the loss in a parameter's first entry, at the same random numbers."""
    ends = []
    for change in (h, -2 * h):
        with torch.no_grad():
            parameter.view(-1)[0] += change
        ends.append(loss_of(model, guide, x).item())
    with torch.no_grad():
        parameter.view(-1)[0] += h
    return (ends[0] - ends[1]) / (2 * h)


@pytest.mark.parametrize("steps", [1, 3])
def test_through_the_steps_the_derivative_is_whole(steps):
    model, guide, x = binary_pair(steps=steps, lr=0.3, particles=2)
    loss_of(model, guide, x).backward()
    for parameter in [*model.parameters(), *guide.parameters()]:
        expected = central_difference(model, guide, x, parameter)
        # Central differences: h^2 of third derivatives, and rounding 1e-16 / h of a loss of 20.
        assert parameter.grad.view(-1)[0].item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


class Steady(nn.Module):
    """The parameters that the refined posterior of one run had, with the base's own gradient."""

    def __init__(self, base: DiagonalNormal, shift: Tensor) -> None:
        super().__init__()
        self.base, self.shift = base, shift

    def forward(self, x: Tensor):
        return DiagonalNormal(nn.Identity())(self.base.network(x) + self.shift)


def test_with_the_steps_as_constants_theta_and_phi_get_the_usual_gradient():
    model, guide, x = binary_pair(steps=3, lr=0.3, through=False)
    base = guide.posterior.base
    torch.manual_seed(2)
    q = guide.posterior(x)
    raw = (q.stddev - 1e-6).expm1().log()
    shift = (torch.cat([q.mean, raw], -1) - base.network(x)).detach()
    assert shift.abs().max() > 0.1
    state = torch.get_rng_state()
    terms = []
    for run in (guide, vae.Guide(Steady(base, shift))):
        model.zero_grad()
        guide.zero_grad()
        if run is guide:
            torch.manual_seed(2)  # the refinement draws first
        else:
            torch.set_rng_state(state)
        loss = ELBO(kl="sampled", vectorize=False).differentiable_loss(model, run, x)
        loss.backward()
        terms.append([p.grad.clone() for p in [*model.parameters(), *guide.parameters()]])
    for refined, usual in zip(*terms, strict=True):
        torch.testing.assert_close(refined, usual, rtol=1e-9, atol=1e-11)


def test_theta_stays_the_models():
    model, guide, x = binary_pair()
    theta = {id(p) for p in model.parameters()}
    assert not theta & {id(p) for p in guide.parameters()}
    assert len(list(guide.parameters())) == 4
    assert explain(model, guide, x).problems == []
    before = [p.clone() for p in [*model.parameters(), *guide.parameters()]]
    fit(model, guide, x, epochs=2, objective=ELBO(particles=3), progress=False)
    after = [*model.parameters(), *guide.parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_frozen_encoder_trains_theta():
    model, guide, x = binary_pair(steps=2, lr=0.3)
    guide.requires_grad_(False)
    loss_of(model, guide, x).backward()
    for parameter in model.parameters():
        expected = central_difference(model, guide, x, parameter)
        assert parameter.grad.view(-1)[0].item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_a_copied_pair_refines_by_the_copied_model():
    model, guide, x = binary_pair(steps=3, lr=0.3)
    twin = copy.deepcopy(VAE(model, guide))
    state = {name: value.clone() for name, value in guide.state_dict().items()}
    with torch.no_grad():
        for parameter in twin.model.parameters():
            parameter += 0.5
    assert not torch.equal(loss_of(*twin, x), loss_of(model, guide, x))
    twin.guide.load_state_dict(state)
    twin.model.load_state_dict(model.state_dict())
    assert torch.equal(loss_of(*twin, x), loss_of(model, guide, x))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_refines_without_gradients_outside(mode):
    model, guide, x = binary_pair(steps=3, lr=0.3)
    torch.manual_seed(1)
    expected = guide.posterior(x)
    torch.manual_seed(1)
    with mode():
        q = guide.posterior(x)
        torch.testing.assert_close(q.mean, expected.mean.detach(), rtol=1e-12, atol=1e-12)
        assert not q.mean.requires_grad
        site_terms(model, guide, x, particles=2)


@pytest.mark.parametrize("batch", [(), (3, 4), (2, 1, 4)], ids=str)
def test_any_leading_dimensions(batch):
    _, guide, _ = binary_pair(steps=2)
    x = torch.rand(*batch, 5, dtype=torch.float64).round()
    q = guide.posterior(x)
    assert q.batch_shape == batch and q.event_shape == (2,)
    torch.manual_seed(6)
    grown = guide.posterior(x)
    torch.manual_seed(6)
    assert torch.equal(grown.mean.reshape(-1, 2), guide.posterior(x.reshape(-1, 5)).mean)


@pytest.mark.parametrize("kind", [FullCovarianceNormal, LowRankNormal, MixtureOfNormals])
def test_other_families_are_refined_through(kind):
    case = known()
    (size,) = kind.outputs(3)
    part = SemiAmortized(kind(encoder(size)), log_joint(case.model), 3, 0.01, particles=20)
    start = SemiAmortized(part.base, part.log_joint, steps=0)
    bounds = []
    for posterior in (start, part):
        q = posterior(case.x)
        z = q.rsample((200,))
        bounds.append((log_joint(case.model)(case.x, z) - q.log_prob(z)).mean())
    assert bounds[1] > bounds[0]
    bounds[1].backward()
    assert all(torch.isfinite(p.grad).all() for p in part.parameters())


def simplex(x: Tensor, z: Tensor) -> Tensor:
    return (x * z.log()).sum(-1)


@pytest.mark.parametrize(
    ("kind", "size", "density"),
    [(Dirichlet, 5, simplex), (StudentT, 15, lambda x, z: -(x - z).square().sum(-1))],
)
def test_families_that_cannot_be_followed_twice_say_so(kind, size, density):
    x = torch.rand(4, 5, dtype=torch.float64)
    once = SemiAmortized(kind(encoder(size)), density, steps=2, through=False)
    once(x).rsample().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in once.parameters())
    twice = SemiAmortized(kind(encoder(size)), density, steps=2)
    with pytest.raises(RuntimeError, match=r"not implemented|differentiate twice"):
        twice(x).rsample().square().sum().backward()


def density(x: Tensor, z: Tensor) -> Tensor:
    return -z.square().sum(-1)


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: SemiAmortized(PerExample(2, 3), density), TypeError, "PerExample has none"),
        (
            lambda: SemiAmortized(DiagonalNormal(encoder()), nn.Identity()),
            TypeError,
            r"programs.log_joint\(model\)",
        ),
        (lambda: SemiAmortized(DiagonalNormal(encoder()), density, -1), ValueError, "steps=-1"),
        (lambda: SemiAmortized(DiagonalNormal(encoder()), density, lr=0.0), ValueError, "lr=0.0"),
        (
            lambda: SemiAmortized(DiagonalNormal(encoder()), density, particles=0),
            ValueError,
            "particles=0",
        ),
    ],
)
def test_bad_options_are_told_in_one_line(build, kind, message):
    with pytest.raises(kind, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_the_command_line_can_size_its_network():
    spec = {"class_path": "pyro_vae.posteriors.LowRankNormal", "init_args": {"rank": 1}}
    assert SemiAmortized.outputs(4, base=spec, steps=3) == (12,)
    assert SemiAmortized.outputs(4, base=LowRankNormal(nn.Identity(), rank=1)) == (12,)
    with pytest.raises(ValueError, match="base is a posterior"):
        SemiAmortized.outputs(4)


def test_a_normal_likelihood_with_a_learned_scale():
    torch.manual_seed(0)
    x = torch.randn(6, 5)
    model = vae.Model(StandardNormal(2), Normal(MLP(2, 5, [4])))
    guide = vae.Guide(SemiAmortized(DiagonalNormal(MLP(5, 4, [4])), log_joint(model)))
    history = fit(model, guide, x, epochs=3, progress=False)
    assert all(map(torch.isfinite, map(torch.tensor, history["elbo"])))
