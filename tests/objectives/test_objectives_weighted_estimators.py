"""Weighted bounds, whose sites choose how their gradients are estimated."""

from __future__ import annotations

import itertools
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_vae.objectives import ELBO, GECO, BetaELBO, CapacityELBO, FreeBits, InfoELBO, SiteBetaELBO
from pyro_vae.terms import ProgramError

torch.manual_seed(0)
X = torch.randn(3, dtype=torch.float64)
P_B, P_C, MEANS = 0.3, X.new_tensor([0.2, 0.6]), torch.randn(2, 2, dtype=torch.float64)


class Switches:
    """Two coins for each example, the second of which depends on the first, and no other latent."""

    def __init__(self, estimator: str | None = None, use: float = 1.0) -> None:
        self.logits = nn.Parameter(torch.tensor([0.4, -0.7, 0.9], dtype=torch.float64))
        self.means = nn.Parameter(use * MEANS.clone())
        self.infer = {} if estimator is None else {"estimator": estimator}

    @property
    def parameters(self):
        return [self.logits, self.means]

    def model(self, x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(x.new_tensor(P_B)))
            c = pyro.sample("c", dist.Bernoulli(P_C[0] + (P_C[1] - P_C[0]) * b))
            mean = (
                self.means[0, 0] + (self.means[0, 1] * b + self.means[1, 0] * c)
                + self.means[1, 1] * b * c
            )  # fmt: skip
            pyro.sample("x", dist.Normal(mean, x.new_tensor(1.0)), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            b = pyro.sample(
                "b", dist.Bernoulli(logits=self.logits[0] + 0.1 * x), infer=self.infer.copy()
            )
            logit = self.logits[1] + self.logits[2] * b - 0.2 * x
            pyro.sample("c", dist.Bernoulli(logits=logit), infer=self.infer.copy())

    def parts(self):
        """The expectations of log p(x|b, c) and of both KLs, summed over x, by brute force."""
        rec, kl_b, kl_c = (torch.zeros((), dtype=torch.float64) for _ in range(3))
        for b, c in itertools.product([0.0, 1.0], repeat=2):
            bs, cs = X.new_full((3,), b), X.new_full((3,), c)
            log_q_b = dist.Bernoulli(logits=self.logits[0] + 0.1 * X).log_prob(bs)
            logit = self.logits[1] + self.logits[2] * b - 0.2 * X
            log_q_c = dist.Bernoulli(logits=logit).log_prob(cs)
            q = (log_q_b + log_q_c).exp()
            mean = self.means[0, 0] + self.means[0, 1] * b + self.means[1, 0] * c
            rec = rec + (q * dist.Normal(mean + self.means[1, 1] * b * c, 1.0).log_prob(X)).sum()
            log_p_b = dist.Bernoulli(X.new_tensor(P_B)).log_prob(bs)
            log_p_c = dist.Bernoulli(P_C[int(b)]).log_prob(cs)
            kl_b = kl_b + (q * (log_q_b - log_p_b)).sum()
            kl_c = kl_c + (q * (log_q_c - log_p_c)).sum()
        return rec, kl_b, kl_c


def free(kl, nats):
    return kl if kl.item() > 3 * nats else 0.0 * kl + 3 * nats


#: Each objective, and what its bound is of the expectations by brute force. The KLs are 0.1 to 0.5
#: nats for each of the three examples, so that no bend of a maximum or modulus is near.
BOUNDS = {
    "beta": (partial(BetaELBO, 2.5), lambda r, b, c: r - 2.5 * (b + c)),
    "sites": (partial(SiteBetaELBO, {"b": 3.0, "c": 0.5}), lambda r, b, c: r - 3 * b - 0.5 * c),
    "one site": (partial(SiteBetaELBO, {"b": 0.0}), lambda r, b, c: r - c),
    "geco": (
        partial(GECO, 1.0, multiplier=1.7, rate=1e-12), lambda r, b, c: 1.7 * (r + 3) - b - c
    ),
    "capacity above": (partial(CapacityELBO, 5.0, 9.0), lambda r, b, c: r + 5 * (b + c - 27.0)),
    "capacity below": (partial(CapacityELBO, 5.0, 0.0), lambda r, b, c: r - 5 * (b + c)),
    "free": (partial(FreeBits, 4.0, "site"), lambda r, b, c: r - free(b, 4) - free(c, 4)),
    "not free": (partial(FreeBits, 0.0, "site", site="c"), lambda r, b, c: r - b - c),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDS)
def test_an_exact_sum_is_the_weighted_bound_by_brute_force(name):
    make, expected = BOUNDS[name]
    case = Switches("enumerate")
    objective = make()
    terms = objective.terms(case.model, case.guide, X)
    bound = objective.bound(terms)
    exact = expected(*case.parts())
    # Doubles: a handful of sums of numbers below 100.
    torch.testing.assert_close(bound, exact, rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(bound, case.parameters)
    for gradient, wanted in zip(found, torch.autograd.grad(exact, case.parameters), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-12)
    assert objective.loss(case.model, case.guide, X) == pytest.approx(-exact.item(), rel=1e-12)


@pytest.mark.parametrize("estimator", ["leave-one-out", "running-mean", "learned"])
@pytest.mark.parametrize("name", ["beta", "sites", "geco"])
def test_a_baseline_changes_no_weighted_gradient_on_average(name, estimator):
    """Of 40 means: five standard errors, and with 4 numbers and 9 cases a false alarm in 1e-4.

    A Student t of 39 degrees beyond 5.5 has a probability of 2.5e-6.
    """
    make, expected = BOUNDS[name]
    case = Switches(estimator)
    (exact,) = torch.autograd.grad(expected(*case.parts()), [case.logits])
    objective = make(particles=200)
    pyro.set_rng_seed(5)
    draws = []
    for _ in range(40):
        terms = objective.terms(case.model, case.guide, X)
        objective.prepare(terms)
        (gradient,) = torch.autograd.grad(objective.bound(terms), [case.logits])
        draws.append(gradient)
    found = torch.stack(draws)
    error = found.std(0) / len(draws) ** 0.5
    assert ((found.mean(0) - exact).abs() < 5.5 * error).all()


@pytest.mark.parametrize("estimator", ["gumbel-softmax", "straight-through"])
def test_a_relaxed_sites_kl_has_the_weight(estimator):
    """Where x is independent of the coins the gradient is that of the KL of b and c.

    That of c, in closed form, is an average over relaxed draws of b; here its prior and its q are
    the same for both values.
    """
    case = Switches(estimator, use=0.0)
    with torch.no_grad():
        case.logits[2] = 0.0
    flat = partial(same_prior, case)
    for beta in (0.0, 0.4, 3.0):
        objective = SiteBetaELBO({"b": beta})
        terms = objective.terms(flat, case.guide, X)
        (found,) = torch.autograd.grad(-objective.bound(terms), [case.logits])
        q_b = dist.Bernoulli(logits=case.logits[0] + 0.1 * X)
        q_c = dist.Bernoulli(logits=case.logits[1] - 0.2 * X)
        p_b, p_c = (dist.Bernoulli(X.new_tensor(p)) for p in (P_B, 0.2))
        kl = torch.distributions.kl_divergence
        exact = (beta * kl(q_b, p_b) + kl(q_c, p_c)).sum()
        (wanted,) = torch.autograd.grad(exact, [case.logits])
        torch.testing.assert_close(found[:2], wanted[:2], rtol=1e-10, atol=1e-12)


def same_prior(case, x):
    with pyro.plate("data", len(x)):
        pyro.sample("b", dist.Bernoulli(x.new_tensor(P_B)))
        pyro.sample("c", dist.Bernoulli(x.new_tensor(0.2)))
        pyro.sample("x", dist.Normal(case.means[0, 0], x.new_tensor(1.0)), obs=x)


def plain(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x.new_tensor(0.0), x.new_tensor(1.0)))
        pyro.sample("x", dist.Normal(z, x.new_tensor(1.0)), obs=x)


def test_sticking_the_landing_lands_where_beta_says():
    """With beta the optimum is N(x / (1 + beta), beta / (1 + beta)); there is no noise there."""
    beta = 2.5
    loc = nn.Parameter(X / (1 + beta))
    log_scale = nn.Parameter(0.5 * X.new_tensor(beta / (1 + beta)).log().expand(3).clone())

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()))

    noise = {}
    for estimator in ("stl", "pathwise"):
        objective = BetaELBO(beta, "sampled", estimator=estimator)
        bound = objective.bound(objective.terms(plain, guide, X))
        gradients = torch.autograd.grad(bound, [loc, log_scale])
        noise[estimator] = max(gradient.abs().max().item() for gradient in gradients)
    assert noise["stl"] < 1e-12 < 0.01 < noise["pathwise"]


def test_a_weight_of_one_changes_nothing():
    for estimator in ("enumerate", "leave-one-out", "straight-through", "score"):
        losses = []
        for make in (ELBO, partial(BetaELBO, 1.0), partial(SiteBetaELBO, {"c": 1.0})):
            case = Switches()
            pyro.set_rng_seed(1)
            objective = make(estimator=estimator, particles=3)
            loss = objective.differentiable_loss(case.model, case.guide, X)
            losses.append([loss, *torch.autograd.grad(loss, case.parameters)])
        for other in losses[1:]:
            assert all(map(torch.equal, losses[0], other)), estimator


def test_what_cannot_heed_an_estimator_says_so():
    case = Switches("enumerate")
    with pytest.raises(ProgramError, match="'b' asks for estimator 'enumerate', and InfoELBO has"):
        InfoELBO(site="b").loss(case.model, case.guide, X)
    by_dimension = FreeBits(0.1, estimator="stl")
    with pytest.raises(ProgramError, match=r"'z' takes estimator 'stl'.* FreeBits\(per='site'\)"):
        by_dimension.loss(plain, partial(mean_field, 0.5), X)
    assert not by_dimension.takes_estimators and FreeBits(per="site").takes_estimators
    per_site = FreeBits(0.0, "site", estimator="stl")
    pyro.set_rng_seed(0)
    assert per_site.loss(plain, partial(mean_field, 0.5), X) > 0


def mean_field(scale, x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(x / 2, x.new_tensor(scale)))
