"""Objectives with a critic: one pass for both players, and what the critic is worth."""

from __future__ import annotations

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from penalty_programs import Toy, loss_of, normal, points
from pyro.infer import SVI
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import softplus

from pyro_vae.objectives import ELBO, explain
from pyro_vae.objectives.adversarial import AdversarialELBO
from pyro_vae.objectives.factor import FactorELBO, shuffled
from pyro_vae.schedules import Linear
from pyro_vae.terms import ProgramError
from pyro_vae.terms.latents import posterior_draws

KINDS = [FactorELBO, AdversarialELBO]


def network(latent: int = 2) -> nn.Module:
    torch.manual_seed(8)
    return nn.Sequential(nn.Linear(latent, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def halves(objective, toy, x):
    """The gradients of the loss in phi and theta, and in the critic, from one pass."""
    loss = loss_of(objective, toy, x)
    own, critic = list(toy.nets.parameters()), list(objective.critic.parameters())
    gradients = torch.autograd.grad(loss, [*own, *critic], allow_unused=True)
    return loss, gradients[: len(own)], gradients[len(own) :]


def drawn(toy, x, seed: int = 3):
    pyro.set_rng_seed(seed)
    with pyro.plate("data", len(x)):
        return pyro.sample("z", toy.q(x))


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_factor_gives_each_player_its_own_gradient(weight):
    toy, x, critic = Toy(), points(), network()
    loss, ours, theirs = halves(FactorELBO(weight, critic), toy, x)
    # theta and phi: the ELBO less the mean logit, as if the critic were a constant.
    frozen = copy.deepcopy(critic).requires_grad_(False)
    plain = loss_of(ELBO(), toy, x)
    z = drawn(toy, x)
    expected = plain + 6 * weight * frozen(z).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = torch.autograd.grad(expected, list(toy.nets.parameters()))
    for found, gradient in zip(ours, gradients, strict=True):
        torch.testing.assert_close(found, gradient)
    # The critic: cross-entropy on the same z and its shuffle, whatever the weight.
    others = shuffled(z.detach().unsqueeze(0))[0]
    logits = torch.cat([critic(z.detach()), critic(others)]).squeeze(-1)
    kinds = torch.tensor([1.0] * 6 + [0.0] * 6, dtype=torch.float64)
    own = 6 * cross_entropy(logits, kinds)
    for found, gradient in zip(
        theirs, torch.autograd.grad(own, list(critic.parameters())), strict=True
    ):
        torch.testing.assert_close(found, gradient)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_adversarial_gives_each_player_its_own_gradient(weight):
    toy, x, critic = Toy(), points(), network()
    loss, ours, theirs = halves(AdversarialELBO(weight, critic), toy, x)
    frozen = copy.deepcopy(critic).requires_grad_(False)
    z = drawn(toy, x)
    others = normal(2).expand([6]).rsample()
    log_p = dist.Normal(toy.nets["decoder"](z), 1.0).log_prob(x).sum()
    told = softplus(frozen(z)).mean() - math.log(2.0)
    expected = -log_p + 6 * weight * told
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = torch.autograd.grad(expected, list(toy.nets.parameters()))
    for found, gradient in zip(ours, gradients, strict=True):
        torch.testing.assert_close(found, gradient)
    logits = torch.cat([critic(z.detach()), critic(others)]).squeeze(-1)
    kinds = torch.tensor([1.0] * 6 + [0.0] * 6, dtype=torch.float64)
    own = 6 * cross_entropy(logits, kinds)
    for found, gradient in zip(
        theirs, torch.autograd.grad(own, list(critic.parameters())), strict=True
    ):
        torch.testing.assert_close(found, gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_stock_svi_trains_the_critic_that_is_made_at_the_first_use(kind):
    toy, x = Toy(), points(20)
    objective = kind(1.0)
    assert objective.critic is None and not list(objective.parameters())
    svi = SVI(toy.model, toy.guide, pyro.optim.Adam({"lr": 1e-2}), objective)
    svi.step(x)
    critic = objective.critic
    first = [p.detach().clone() for p in critic.parameters()]
    assert all(p.dtype == torch.float64 for p in first) and first[0].shape == (256, 2)
    svi.step(x)
    assert objective.critic is critic
    assert all(not torch.equal(a, b) for a, b in zip(first, critic.parameters(), strict=True))
    assert {name for name in objective.state_dict() if name.startswith("critic.")}


def test_the_critic_of_a_correlated_gaussian_finds_its_total_correlation():
    """With correlation 0.9 the total correlation is -log(1 - 0.81) / 2 = 0.83 nats."""
    x = torch.randn(500, 2, dtype=torch.float64)

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", normal(2))
            pyro.sample("x", dist.Delta(x).to_event(1), obs=x)

    tril = torch.linalg.cholesky(torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64))

    def guide(x):
        with pyro.plate("data", len(x)):
            z = dist.MultivariateNormal(x.new_zeros(2), scale_tril=tril)
            pyro.sample("z", z)

    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1)).double()
    objective = FactorELBO(1.0, critic)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), objective)
    for _ in range(600):
        svi.step(x)
    plain = ELBO("analytic")
    found = []
    for seed in range(10):
        pyro.set_rng_seed(seed)
        one = objective.loss(model, guide, x)
        pyro.set_rng_seed(seed)
        found.append((one - plain.loss(model, guide, x)) / 500)
    # The logit's spread is 1.3 nats: 0.02 over 5000 draws. What is left is the network's fit.
    assert sum(found) / 10 == pytest.approx(0.83, abs=0.12)
    assert 0.65 < float(objective.critic_accuracy) < 0.9
    assert objective.warnings() == []


def test_the_adversary_pulls_the_aggregate_to_the_prior():
    x = torch.randn(200, dtype=torch.float64)
    where = nn.ParameterDict({"loc": nn.Parameter(torch.tensor(2.0, dtype=torch.float64))})

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", normal())
            pyro.sample("x", dist.Delta(x), obs=x)

    def guide(x):
        loc = pyro.param("where.loc", where["loc"])
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc + 0.8 * x, x.new_tensor(0.6)))

    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    objective = AdversarialELBO(1.0, critic)

    def rates(name):
        return {"lr": 0.02 if "critic" in name else 0.01}

    svi = SVI(model, guide, pyro.optim.Adam(rates), objective)
    for _ in range(600):
        svi.step(x)
    assert abs(where["loc"].item()) < 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_the_averages_rest_without_gradients(kind):
    toy, x = Toy(), points(20)
    objective = kind(1.0, network())
    objective.loss(toy.model, toy.guide, x)
    explain(toy.model, toy.guide, x, objective=objective)
    assert float(objective.critic_accuracy) == 0.5 == float(objective.critic_share)
    loss_of(objective, toy, x)
    assert float(objective.critic_share) != 0.5


class Sure(nn.Module):
    """A critic that knows the place of what it is shown."""

    def __init__(self, sign: float, shift: float = 0.0) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(sign, dtype=torch.float64))
        self.shift = shift

    def forward(self, z):
        return self.sign * (z[..., 0] - 50.0) + self.shift


@pytest.mark.parametrize(
    ("critic", "message"),
    [
        (Sure(1.0), "has won: it tells 98% of draws rightly"),
        (Sure(-1.0), "has lost: it tells only 2% of draws rightly"),
        (Sure(1.0, 1e4), "has collapsed: it gives 98% to q(z) whatever"),
        (Sure(1.0, -1e4), "has collapsed: it gives 2% to q(z) whatever"),
    ],
)
def test_it_says_when_the_critic_is_of_no_use(critic, message):
    toy, x = Toy(), points(20)
    toy.nets["encoder"].bias.data[0] += 100.0  # far from the prior
    toy.nets["decoder"].weight.data.zero_()
    objective = AdversarialELBO(1.0, critic)
    assert objective.warnings() == []
    for _ in range(300):
        loss_of(objective, toy, x)
    (said,) = objective.warnings()
    assert said.startswith("the critic of AdversarialELBO ") and message in said
    assert "critic_lr" in said


@pytest.mark.parametrize("offset", [0.01, -0.01])
def test_a_critic_that_cannot_tell_is_no_cause_for_alarm(offset):
    """At the equilibrium its logits are small, and may all have one sign for long."""
    toy, x = Toy(), points()
    objective = AdversarialELBO(1.0, Sure(0.0, offset))
    for _ in range(300):
        loss_of(objective, toy, x)
    assert objective.warnings() == []


def test_shapes_of_critics():
    toy, x = Toy(), points()
    one = nn.Linear(2, 1).double()

    class Flat(nn.Module):
        def forward(self, z):
            return one(z).squeeze(-1)

    kept = loss_of(FactorELBO(1.0, one), toy, x)
    assert loss_of(FactorELBO(1.0, Flat()), toy, x).item() == kept.item()
    for critic in (nn.Linear(2, 3).double(), nn.Flatten(0)):
        with pytest.raises(ProgramError, match=r"maps z \(1, 6, 2\) to one logit each"):
            loss_of(FactorELBO(1.0, critic), toy, x)


def test_a_bound_before_the_critic_is_made_is_refused():
    toy, x = Toy(), points()
    objective = FactorELBO()
    with pytest.raises(ProgramError, match=r"no critic yet: call prepare\(terms\)"):
        objective.bound(objective.terms(toy.model, toy.guide, x))


def test_shuffling_keeps_each_dimension_and_breaks_the_rows():
    z = torch.arange(400.0).reshape(2, 50, 4)
    other = shuffled(z)
    assert torch.equal(other.sort(1).values, z)
    assert not torch.equal(other, z)
    together = (other[..., 1] - other[..., 0] == 1).double().mean()
    assert together < 0.2  # of 100 rows 2 keep such a pair, on average; 20 never do
    assert not torch.equal(other[0] - z[0], other[1] - z[1])


def test_the_held_critic_has_a_gradient_in_z_alone():
    toy, x = Toy(), points()
    objective = FactorELBO(1.0, network(), particles=3)
    terms = objective.terms(toy.model, toy.guide, x)
    z = posterior_draws(terms, terms["z"])
    logits = objective.held(z)
    assert logits.shape == (3, 6)
    found = torch.autograd.grad(
        logits.sum(), [z, *objective.critic.parameters()], allow_unused=True
    )
    assert found[0].abs().max() > 0 and all(gradient is None for gradient in found[1:])


@pytest.mark.parametrize(("kind", "name"), [(FactorELBO, "gamma"), (AdversarialELBO, "scale")])
def test_weights_follow_schedules(kind, name):
    objective = kind(Linear(10, 0.0, 5.0), critic_lr=3e-4)
    objective.advance(4)
    assert objective.weights() == {name: 2.0} and objective.critic_lr == 3e-4
