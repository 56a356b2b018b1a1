"""The bound of a Hamiltonian posterior, against its closed form where everything is linear."""

from __future__ import annotations

import copy
import math

import pyro.distributions as dist
import pytest
import torch
from linear_gaussian_programs import Known, known
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_vae import ELBO, explain, fit
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal, FullCovarianceNormal, Hamiltonian, Posterior
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, log_joint, vae
from pyro_vae.terms import site_terms


class Start(nn.Module):
    """Constant means and wide scales: a poor encoder."""

    def forward(self, x: Tensor) -> Tensor:
        row = torch.tensor([0.2, -0.1, 0.0, 0.3, 0.6, 0.1], dtype=torch.float64)
        return row.expand(*x.shape[:-1], 6)


def guide_of(case: Known, leapfrog: int, step: float, tempered: bool = False) -> vae.Guide:
    base = DiagonalNormal(Start())
    return vae.Guide(Hamiltonian(base, log_joint(case.model), leapfrog, step, tempered).double())


def exact_bound(case: Known, guide: vae.Guide) -> Tensor:
    """log p(x) - KL(q(z_K, rho_K) || p(z|x) N(rho)): all of it normal, the path a matrix."""
    part = guide.posterior
    mean, covariance = case.truth.posterior(case.x)
    precision, n = covariance.inverse(), len(covariance)
    step = part.log_step.exp().item()
    beta = 1.0 if part.logit_beta is None else part.logit_beta.sigmoid().item()
    steps = part.leapfrog
    root = [
        1 / math.sqrt(beta) + (1 - 1 / math.sqrt(beta)) * (k / steps) ** 2 for k in range(steps + 1)
    ]
    one, zero = torch.eye(n).double(), torch.zeros(n, n).double()

    def block(a, b, c, d):
        return torch.cat([torch.cat([a, b], 1), torch.cat([c, d], 1)])

    path = block(one, zero, zero, root[0] * one)
    for k in range(steps):
        kick = block(one, zero, -0.5 * step * precision, one)
        drift = block(one, step * one, zero, one)
        cool = block(one, zero, zero, root[k + 1] / root[k] * one)
        path = cool @ kick @ drift @ kick @ path
    start = part.base(case.x)
    centred = torch.cat([start.mean - mean, torch.zeros_like(mean)], -1)
    spread = torch.block_diag(torch.diag(start.variance[0]), one)
    q = MultivariateNormal(centred @ path.T, path @ spread @ path.T)
    p = MultivariateNormal(torch.zeros(2 * n).double(), torch.block_diag(covariance, one))
    return case.truth.log_evidence(case.x) - kl_divergence(q, p)


@pytest.mark.parametrize("tempered", [False, True])
@pytest.mark.parametrize("leapfrog", [1, 3, 6])
def test_the_bound_is_the_closed_form(leapfrog, tempered):
    case = known()
    guide = guide_of(case, leapfrog, 0.15, tempered)
    with torch.no_grad():
        weights = site_terms(case.model, guide, case.x, particles=4000).log_weights
    expected = exact_bound(case, guide)
    error = 4 * weights.std(0) / math.sqrt(len(weights))
    assert (error < 0.1 * (1 + expected.abs())).all(), "the test could not tell"
    # Forty examples of one seed: a few sigma more for the worst of them.
    assert ((weights.mean(0) - expected).abs() < 1.25 * error).all()
    assert (expected < case.truth.log_evidence(case.x)).all()


def test_the_bound_tightens_with_the_steps():
    case = known()
    bounds = [exact_bound(case, guide_of(case, k, 0.15)).mean().item() for k in (1, 2, 3)]
    base = MultivariateNormal(
        *(lambda q: (q.mean, torch.diag_embed(q.variance)))(DiagonalNormal(Start())(case.x))
    )
    without = case.truth.log_evidence(case.x) - kl_divergence(
        base, MultivariateNormal(*case.truth.posterior(case.x))
    )
    assert (
        without.mean() < bounds[0] < bounds[1] < bounds[2] < case.truth.log_evidence(case.x).mean()
    )
    # And so do samples of the bound itself.
    sampled = []
    for k in (1, 2, 3):
        torch.manual_seed(0)
        sampled.append(-ELBO(particles=500).loss(case.model, guide_of(case, k, 0.15), case.x))
    assert sampled[0] < sampled[1] < sampled[2] < case.truth.log_evidence(case.x).sum()


class Wide(nn.Module):
    """The exact posterior's means, and scales above all of its own: weights stay small."""

    def __init__(self, case: Known) -> None:
        super().__init__()
        self.case = case

    def forward(self, x: Tensor) -> Tensor:
        mean, covariance = self.case.truth.posterior(x)
        scale = 1.3 * covariance.diagonal().sqrt()
        return torch.cat([mean, (scale - 1e-6).expm1().log().expand_as(mean)], -1)


@pytest.mark.parametrize("tempered", [False, True])
def test_its_weights_are_right_for_importance_sampling(tempered):
    case = known(latent=2)
    part = Hamiltonian(DiagonalNormal(Wide(case)), log_joint(case.model), 2, 0.2, tempered)
    with torch.no_grad():
        guide = vae.Guide(part.double())
        weights = site_terms(case.model, guide, case.x, particles=5000).log_weights
    # E[w] = p(x); nothing here depends on x, so all samples of all examples make one mean.
    ratio = (weights - case.truth.log_evidence(case.x)).exp().flatten()
    error = 4 * ratio.std().item() / math.sqrt(len(ratio))
    assert error < 0.02 and ratio.std() > 0.1, "the test could not tell"
    assert abs(ratio.mean().item() - 1) < error


def binary_pair(**options):
    torch.manual_seed(0)
    x = (torch.rand(6, 5) < 0.5).double()
    model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 5, [4]))).double()
    base = DiagonalNormal(MLP(5, 4, [4])).double()
    return model, vae.Guide(Hamiltonian(base, log_joint(model), **options).double()), x


def loss_of(model, guide, x) -> Tensor:
    torch.manual_seed(2)
    return ELBO(particles=2).differentiable_loss(model, guide, x)


def test_gradients_reach_everything_through_the_path():
    model, guide, x = binary_pair(leapfrog=2, step=0.4, tempered=True)
    loss_of(model, guide, x).backward()
    h = 1e-5
    names = dict(guide.named_parameters())
    assert {"posterior.log_step", "posterior.logit_beta"} <= names.keys() and len(names) == 6
    for parameter in [*model.parameters(), *names.values()]:
        ends = []
        for change in (h, -2 * h):
            with torch.no_grad():
                parameter.view(-1)[0] += change
            ends.append(loss_of(model, guide, x).item())
        with torch.no_grad():
            parameter.view(-1)[0] += h
        expected = (ends[0] - ends[1]) / (2 * h)
        assert parameter.grad.view(-1)[0].item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_it_scores_the_last_draw_alone():
    _, guide, x = binary_pair()
    q = guide.posterior(x)
    with pytest.raises(ValueError, match="only the z that it drew last"):
        q.log_prob(torch.zeros(6, 2).double())
    first = q.rsample()
    q.log_prob(first)
    q.sample()
    for other in (first, first.clone()):
        with pytest.raises(ValueError, match="only the z that it drew last"):
            q.log_prob(other)


@pytest.mark.parametrize("batch", [(), (3, 4), (2, 1, 4)], ids=str)
def test_any_leading_dimensions(batch):
    _, guide, _ = binary_pair()
    x = torch.rand(*batch, 5, dtype=torch.float64).round()
    q = guide.posterior(x)
    assert q.batch_shape == batch and q.event_shape == (2,)
    z = q.rsample((7,))
    assert z.shape == (7, *batch, 2) and q.log_prob(z).shape == (7, *batch)
    assert not q.sample().requires_grad
    wide = q.expand((3, *batch))
    z = wide.rsample()
    assert z.shape == (3, *batch, 2) and wide.log_prob(z).shape == (3, *batch)
    if batch == (2, 1, 4):
        z = q.expand((2, 5, 4)).rsample((3,))
        assert z.shape == (3, 2, 5, 4, 2)


@pytest.mark.parametrize("base", [DiagonalNormal, FullCovarianceNormal])
def test_it_trains(base):
    torch.manual_seed(0)
    x = (torch.rand(6, 5) < 0.5).float()
    model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 5, [4])))
    part = Hamiltonian(base(MLP(5, base.outputs(2), [4])), log_joint(model), tempered=True)
    guide = vae.Guide(part)
    assert explain(model, guide, x).problems == []
    before = [p.clone() for p in [*model.parameters(), *guide.parameters()]]
    fit(model, guide, x, epochs=2, objective=ELBO(particles=3), progress=False)
    after = [*model.parameters(), *guide.parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not {id(p) for p in model.parameters()} & {id(p) for p in guide.parameters()}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_runs_without_gradients_outside(mode):
    model, guide, x = binary_pair()
    expected = loss_of(model, guide, x)
    with mode():
        assert torch.equal(loss_of(model, guide, x), expected)


def test_a_copied_pair_follows_the_copied_model():
    model, guide, x = binary_pair(tempered=True)
    twin = copy.deepcopy(VAE(model, guide))
    with torch.no_grad():
        for parameter in twin.model.parameters():
            parameter += 0.5
    assert not torch.equal(loss_of(*twin, x), loss_of(model, guide, x))
    twin.load_state_dict(VAE(model, guide).state_dict())
    assert torch.equal(loss_of(*twin, x), loss_of(model, guide, x))


class Discrete(Posterior):
    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Bernoulli(logits=x).to_event(1)


def density(x: Tensor, z: Tensor) -> Tensor:
    return -z.square().sum(-1)


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda b: Hamiltonian(b, nn.Identity()), TypeError, r"programs.log_joint\(model\)"),
        (lambda b: Hamiltonian(b, density, leapfrog=0), ValueError, "leapfrog=0"),
        (lambda b: Hamiltonian(b, density, step=0.0), ValueError, "step=0.0"),
        (
            lambda b: Hamiltonian(Discrete(), density)(torch.zeros(2, 3)),
            ValueError,
            "Discrete is not",
        ),
    ],
)
def test_bad_options_are_told_in_one_line(build, kind, message):
    with pytest.raises(kind, match=message) as caught:
        build(DiagonalNormal(nn.Identity()))
    assert "\n" not in str(caught.value)
