"""Weights on the KL: once, wherever it stands, in the value and in every gradient."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES
from penalty_programs import Toy, loss_of, normal, points, slopes
from pyro import poutine
from pyro.infer import SVI
from torch import nn

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.beta import BetaELBO
from pyro_vae.objectives.capacity import CapacityELBO
from pyro_vae.objectives.free_bits import FreeBits
from pyro_vae.objectives.geco import GECO
from pyro_vae.schedules import Linear
from pyro_vae.terms import ProgramError


def value_and_gradients(objective, case, seed: int = 7):
    pyro.set_rng_seed(seed)
    with poutine.trace(param_only=True) as capture:
        loss = objective.loss_and_grads(case.model, case.guide, *case.args)
    gradients = {}
    for name, site in capture.trace.nodes.items():
        parameter = site["value"].unconstrained()
        if parameter.grad is not None:
            gradients[name] = parameter.grad.clone()
            parameter.grad = None
    return loss, gradients


@pytest.mark.parametrize("mode", ["auto", "sampled"])
@pytest.mark.parametrize("name", CASES)
def test_a_weight_of_one_is_the_elbo_to_the_last_digit(name, mode):
    case = CASES[name]()
    for options in ({}, {"particles": 3}, {"particles": 3, "vectorize": False}):
        loss, gradients = value_and_gradients(BetaELBO(1.0, mode, **options), case)
        expected, expected_gradients = value_and_gradients(ELBO(mode, **options), case)
        assert loss == expected
        assert gradients.keys() == expected_gradients.keys() and gradients
        for key, gradient in gradients.items():
            assert torch.equal(gradient, expected_gradients[key]), key


def known_kl(scale_model: float = 1.0, scale_guide: float = 1.0, prior=None):
    """KL(q||p) = 17.5 nats under a normal prior, and a likelihood of one."""

    def model(x):
        with pyro.plate("data", len(x)):
            with poutine.scale(scale=scale_model):
                pyro.sample("z", (prior or dist.Normal)(0.0, 1.0))
            pyro.sample("x", dist.Delta(x), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)), poutine.scale(scale=scale_guide):
            pyro.sample("z", dist.Normal(torch.full((1,), 35.0).sqrt(), 1.0))

    return model, guide, torch.zeros(1)


@pytest.mark.parametrize("beta", [0, 0.25, 1, 4.0])
def test_trap_03_beta_stands_once_before_the_kl(beta):
    """Trap 3: beta by poutine.scale meant -59, 18, 70 or 147 for one KL and one beta."""
    assert BetaELBO(beta).loss(*known_kl()) == pytest.approx(17.5 * beta, rel=1e-6)
    assert BetaELBO(beta, "analytic").loss(*known_kl()) == pytest.approx(17.5 * beta, rel=1e-6)
    # log q - log p = 17.5 + sqrt(35) e has a standard error of 0.042 over 20,000 particles.
    sampled = BetaELBO(beta, "sampled", particles=20_000).loss(*known_kl())
    assert sampled == pytest.approx(17.5 * beta, abs=5 * 0.042 * beta + 1e-9)
    # A prior without a closed form changes nothing about what beta means.
    pyro.set_rng_seed(1)
    one = BetaELBO(1.0).loss(*known_kl(prior=dist.Laplace))
    pyro.set_rng_seed(1)
    assert BetaELBO(beta).loss(*known_kl(prior=dist.Laplace)) == pytest.approx(beta * one, abs=1e-5)
    # And both programs scaled alike are scaled, whatever the way.
    assert BetaELBO(beta).loss(*known_kl(4.0, 4.0)) == pytest.approx(70.0 * beta, rel=1e-6)


@pytest.mark.parametrize("scales", [(4.0, 1.0), (1.0, 4.0)])
@pytest.mark.parametrize("objective", [BetaELBO(2.0), CapacityELBO(), GECO(1.0), FreeBits(1.0)])
def test_trap_03_what_has_no_one_weight_is_refused(objective, scales):
    with pytest.raises(ProgramError, match=r"'z' is scaled by .* so its KL has no one weight"):
        objective.loss(*known_kl(*scales))


class Switch:
    """A discrete latent, then a normal one that depends on it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.nets = nn.ParameterDict(
            {
                name: nn.Parameter(torch.randn(2, dtype=torch.float64))
                for name in ("logit", "loc", "slope", "decoder")
            }
        )
        self.x = torch.tensor([0.5, -1.0], dtype=torch.float64)

    def model(self, x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(x.new_tensor(0.3)))
            z = pyro.sample("z", dist.Normal(b - 0.5, x.new_tensor(0.7)))
            mean = self.nets["decoder"][0] * z + self.nets["decoder"][1] * b
            pyro.sample("x", dist.Normal(mean, x.new_tensor(1.0)), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(logits=self.nets["logit"]))
            loc = self.nets["loc"] * x + self.nets["slope"] * b
            pyro.sample("z", dist.Normal(loc, x.new_tensor(0.6)))

    def everywhere(self):
        """Each value of b, as a pair of programs that take it, with its probability."""
        for chosen in itertools.product([0.0, 1.0], repeat=2):
            b = torch.tensor(chosen, dtype=torch.float64)
            node = {"type": "sample", "value": b, "is_observed": False, "infer": {}}
            trace = pyro.poutine.Trace()
            trace.add_node("b", name="b", **node)
            q = dist.Bernoulli(logits=self.nets["logit"]).log_prob(b).sum().exp()
            guide = poutine.replay(self.guide, trace=trace)
            yield SimpleNamespace(model=self.model, guide=guide, nets=self.nets), q


@pytest.mark.parametrize(
    "objective",
    [
        BetaELBO(0.0, "sampled"),
        BetaELBO(0.3, "sampled"),
        BetaELBO(4.0, "sampled"),
        GECO(1.0, multiplier=3.0, rate=1e-12, kl="sampled"),
        # Far from where the maximum and the modulus turn, these are linear.
        CapacityELBO(5.0, 1e4, kl="sampled"),
        CapacityELBO(5.0, 0.0, kl="sampled"),
        FreeBits(1e4, "site", site="b", kl="sampled"),
        FreeBits(0.0, "site", site="z", kl="sampled"),
    ],
    ids=lambda o: type(o).__name__,
)
def test_the_score_function_follows_the_weighted_bound(objective):
    """The estimator's exact mean over b is the gradient of the exact mean of the bound.

    For each noise of z, so the KL is sampled: the score function's cost always is.
    """
    case = Switch()
    case.nets["loc"].data += torch.tensor([5.0, 0.0])  # a KL above zero at each draw
    parameters = list(case.nets.values())
    mean, total = [torch.zeros(2, dtype=torch.float64) for _ in parameters], 0.0
    for pair, q in case.everywhere():
        loss = loss_of(objective, pair, case.x)
        total = total + q * loss.detach()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for i, gradient in enumerate(gradients):
            if gradient is not None:
                mean[i] += q.detach() * gradient
    # The same by differences of the exact mean: values alone, no surrogate.
    for i, parameter in enumerate(parameters):
        for j in range(2):
            sides = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter[j] += step
                    sides.append(
                        sum((q * loss_of(objective, p, case.x)) for p, q in case.everywhere())
                    )
                    parameter[j] -= step
            exact = (sides[0] - sides[1]) / 2e-5
            assert mean[i][j].item() == pytest.approx(exact.item(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.3, 4.0])
def test_the_score_has_the_cost_of_its_own_example_and_no_more(beta):
    """The mean hides terms whose mean is zero; so here each draw is looked at."""
    case = Switch()
    logit = case.nets["logit"]
    for pair, _ in case.everywhere():
        objective = BetaELBO(beta, "sampled")
        pyro.set_rng_seed(3)
        terms = objective.terms(pair.model, pair.guide, case.x)
        (found,) = torch.autograd.grad(-objective.bound(terms), [logit], retain_graph=True)
        b, z, x = terms["b"], terms["z"], terms["x"]
        kl = b.log_q - b.log_p + z.log_q - z.log_p
        cost = (x.log_p - beta * kl).detach()[0]
        (score,) = torch.autograd.grad((cost * b.log_q[0]).sum(), [logit])
        torch.testing.assert_close(found, -score)


def test_a_scaled_score_function_is_scaled_once():
    """The cost has the scale, so the score must not have it too."""
    case, gradients = Switch(), []
    for scale in (1.0, 10.0):
        pair = next(case.everywhere())[0]
        scaled = SimpleNamespace(
            model=poutine.scale(case.model, scale=scale),
            guide=poutine.scale(pair.guide, scale=scale),
        )
        loss = loss_of(BetaELBO(3.0), scaled, case.x)
        gradients.append(torch.autograd.grad(loss, list(case.nets.values())))
    for one, ten in zip(*gradients, strict=True):
        torch.testing.assert_close(ten, 10 * one)


OBJECTIVES = [
    lambda: BetaELBO(3.0),
    lambda: BetaELBO(3.0, "sampled"),
    lambda: CapacityELBO(2.0, 0.1),
    lambda: CapacityELBO(2.0, 50.0),
    lambda: FreeBits(0.3, "dimension"),
    lambda: FreeBits(0.3, "dimension", kl="sampled"),
    lambda: FreeBits(0.3, "site"),
    lambda: FreeBits(30.0, "site"),
    lambda: GECO(2.0, multiplier=1.7, rate=1e-12),
]


@pytest.mark.parametrize("make", OBJECTIVES)
@pytest.mark.parametrize("particles", [1, 3])
def test_gradients_are_those_of_the_value(make, particles):
    objective = make()
    objective.particles = particles
    slope, difference = slopes(objective, Toy(), points())
    assert slope == pytest.approx(difference, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("make", OBJECTIVES)
def test_a_subsampled_example_counts_as_often_as_it_stands_for(make):
    """The bound over N is that of the mini-batch over its size."""
    x = points()
    plain = loss_of(make(), Toy(), x)
    pyro.clear_param_store()
    assert loss_of(make(), Toy(total=60), x).item() == pytest.approx(10 * plain.item(), rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_an_example_is_worth_the_same_alone_and_in_a_batch(beta):
    """Beta's bound is a sum over examples, each of which counts as if alone."""
    toy, x = Toy(), points()
    noise = torch.randn(6, 2, dtype=torch.float64)

    def guide_of(rows):
        def guide(x):
            with pyro.plate("data", len(x)):
                loc, scale = toy.q(x).base_dist.loc, toy.q(x).base_dist.scale
                z = loc + scale * noise[rows]
                pyro.sample("z", Fixed(loc, scale, z).to_event(1))

        return guide

    class Fixed(dist.Normal):
        def __init__(self, loc, scale, z):
            super().__init__(loc, scale)
            self.z = z

        def expand(self, *args, **kwargs):
            return self

        def rsample(self, *args, **kwargs):
            return self.z

    objective = BetaELBO(beta, "sampled")
    whole = objective.loss(toy.model, guide_of(slice(None)), x)
    alone = [objective.loss(toy.model, guide_of(slice(i, i + 1)), x[i : i + 1]) for i in range(6)]
    assert whole == pytest.approx(sum(alone), rel=1e-12)


def test_schedules_advance_in_stock_svi():
    toy, x = Toy(), points()
    objective = BetaELBO(Linear(4, 0.0, 2.0))
    svi = SVI(toy.model, toy.guide, pyro.optim.Adam({"lr": 1e-15}), objective)
    seen = []
    for _ in range(6):
        pyro.set_rng_seed(3)
        loss = svi.step(x)
        seen.append((objective.weights()["beta"], loss))
    assert [beta for beta, _ in seen] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    for beta, loss in seen:
        assert loss == pytest.approx(loss_of(BetaELBO(beta), toy, x).item(), abs=1e-6)
    # What is reported is the bound itself, unweighted.
    terms = objective.terms(toy.model, toy.guide, x)
    split = objective.split(terms)
    torch.testing.assert_close(split.elbo, split.reconstruction - split.kl)
    assert (split.kl - terms["z"].kl[0]).abs().max() < 1e-12


def test_weights_move_with_the_objective_and_are_saved():
    objective = BetaELBO(Linear(4))
    objective.advance(2)
    other = BetaELBO(Linear(4))
    other.load_state_dict(objective.state_dict())
    assert float(other.beta) == 0.5
    assert float(BetaELBO(lambda step: 3.0 - step).beta) == 3.0


def test_a_single_precision_program_stays_single():
    case = CASES["ours-bernoulli"]()
    for objective in (BetaELBO(0.5), CapacityELBO(), GECO(1.0), FreeBits(), FreeBits(1, "site")):
        loss = objective.differentiable_loss(case.model, case.guide, *case.args)
        assert loss.dtype == torch.float32 and loss.dim() == 0


def test_without_a_plate_there_is_no_mean():
    def program(x):
        pyro.sample("z", normal())

    for objective in (CapacityELBO(), GECO(1.0)):
        with pytest.raises(ProgramError, match="no plate holds the examples"):
            objective.loss(program, program, torch.zeros(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BetaELBO(-1.0), "beta must be at least 0, not -1"),
        (lambda: BetaELBO(Linear(3, start=-1.0)), "beta must be at least 0"),
        (lambda: BetaELBO(float("nan")), "beta of BetaELBO is a finite number"),
        (lambda: BetaELBO(1.0, "exact"), "kl is one of 'analytic', 'sampled', 'auto'"),
        (lambda: CapacityELBO(-1.0), "gamma must be at least 0"),
        (lambda: CapacityELBO(1.0, -1.0), "capacity must be at least 0"),
        (lambda: FreeBits(-0.1), "nats must be at least 0"),
        (lambda: FreeBits(0.1, "batch"), "per is one of 'dimension', 'site'"),
        (lambda: GECO(1.0, rate=0.0), "rate must be a positive number"),
        (lambda: GECO(1.0, decay=1.0), r"decay must be in \[0, 1\)"),
        (lambda: GECO(1.0, multiplier=-1.0), "multiplier must be a positive number"),
    ],
)
def test_bad_numbers(make, message):
    with pytest.raises(ValueError, match=message):
        make()
