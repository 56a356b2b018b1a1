"""Gradient estimators against closed forms: their means, their biases, and how they vary."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from gradient_programs import Mixture

from pyro_vae import ELBO
from pyro_vae.estimators.base import Learned, LeaveOneOut, RunningMean
from pyro_vae.estimators.discrete import GumbelSoftmax, StraightThrough

DRAWS = 100_000
#: In standard errors. Of the about 180 numbers below, one is off by chance for 1 seed in 90.
LIMIT = 4.0


def draws(mixture: Mixture, objective, warm: bool = True):
    """Gradients, a draw a row."""
    pyro.set_rng_seed(0)
    if warm:  # what learns knows of a step before
        mixture.draw(objective)
    return mixture.draw(objective)


def errors(mixture: Mixture, objective, warm: bool = True):
    """How many standard errors each parameter's mean gradient is off."""
    exact, found = mixture.exact(), draws(mixture, objective, warm)
    assert found.keys() == exact.keys()
    off = {}
    for name, g in found.items():
        error = g.std(0) / math.sqrt(len(g))
        off[name] = (g.mean(0) - exact[name]) / error.clamp(min=1e-12)
    return off


UNBIASED = {
    "default": {},
    "score": {"k": "score"},
    "running-mean": {"k": RunningMean(0.5)},
    "learned": {"k": Learned(hidden=(4,))},
    "leave-one-out": {"k": "leave-one-out"},
    "enumerate": {"k": "enumerate"},
    "enumerate and score": {"k": "enumerate", "z": "score"},
    "enumerate and leave-one-out": {"k": "enumerate", "z": LeaveOneOut()},
    "score and stl": {"k": "score", "z": "stl"},
    "score at both": {"k": "score", "z": "score"},
    "learned at both": {"k": Learned(), "z": Learned()},
    "leave-one-out at both": {"k": "leave-one-out", "z": "leave-one-out"},
}


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_is_the_gradient(name):
    particles = 2 if "leave" in name else 1
    off = errors(Mixture(DRAWS), ELBO(particles=particles, estimator=UNBIASED[name]))
    assert all((o.abs() < LIMIT).all() for o in off.values()), off


@pytest.mark.parametrize("estimator", ["leave-one-out", "enumerate"])
def test_particles_one_after_the_other(estimator):
    objective = ELBO(particles=3, vectorize=False, estimator={"k": estimator})
    off = errors(Mixture(DRAWS // 4), objective)
    assert all((o.abs() < LIMIT).all() for o in off.values()), off


def test_a_closed_form_kl_beside_a_scored_site():
    """A pathwise site keeps its closed form; the signal of the other counts it all the same."""
    sampled, closed = (
        draws(Mixture(DRAWS), ELBO(kl, estimator={"k": "score"}))["log_scale"].var()
        for kl in ("sampled", "auto")
    )
    assert closed < sampled


@pytest.mark.parametrize("kind", [GumbelSoftmax, StraightThrough])
def test_relaxed_gradients_are_biased_and_less_so_when_cold(kind):
    exact = Mixture(1).exact()["logits"]
    bias, noise = [], []
    for temperature in (2.0, 1.0, 0.5):
        mixture = Mixture(DRAWS)
        g = draws(mixture, ELBO(estimator={"k": kind(temperature)}), warm=False)["logits"]
        bias.append((g.mean(0) - exact).norm().item())
        noise.append((g.var(0).sum() / len(g)).sqrt().item())
    assert bias[0] > bias[1] > bias[2] > 10 * noise[2]
    assert noise == sorted(noise)
    # A straight-through value is an exact sample, so what is not the site's own is unbiased.
    off = errors(Mixture(DRAWS), ELBO(estimator={"k": kind(0.5)}), warm=False)
    for name in ("loc", "log_scale", "theta"):
        assert bool((off[name].abs() < LIMIT).all()) == (kind is StraightThrough), name


def test_pathwise_gradients_vanish_at_the_exact_posterior_when_the_score_is_left_out():
    def largest(estimator: str) -> float:
        mixture = Mixture(1000, exact_z=True)
        found = draws(mixture, ELBO("sampled", estimator={"k": "score", "z": estimator}))
        return max(found[name].abs().max().item() for name in ("loc", "log_scale"))

    assert largest("stl") < 1e-12
    assert largest("pathwise") > 0.1


def variances() -> dict[str, float]:
    """Total variance of the gradient in the logits, two particles, q(z|k) exact."""
    names = ("score", "running-mean", "learned", "leave-one-out", "enumerate")
    return {
        name: draws(
            Mixture(20_000, exact_z=True), ELBO("sampled", particles=2, estimator={"k": name})
        )["logits"].var(0).sum().item()
        for name in names
    }  # fmt: skip


def test_the_order_of_variances():
    """A variance's relative error is about 0.02 here; those compared differ by half and more."""
    found = variances()
    assert found["enumerate"] < 1e-20  # nothing else is random
    assert found["leave-one-out"] < 0.7 * found["score"]
    assert found["running-mean"] < 0.3 * found["score"]
    assert found["learned"] < 0.3 * found["score"]


@pytest.mark.slow
def test_print_the_table_of_variances(capsys):
    """The table of the docs: estimators of the logits, and of a location by sites of their own."""
    table = variances()
    location = {}
    for name in ("score", "running-mean", "leave-one-out", "pathwise", "stl"):
        objective = ELBO("sampled", particles=2, estimator={"k": "score", "z": name})
        location[name] = draws(Mixture(DRAWS), objective)["loc"].var(0).sum().item()
    with capsys.disabled():
        print("\nestimator at k    variance in the logits")
        print("\n".join(f"{name:16}  {value:10.4g}" for name, value in table.items()))
        print("estimator at z    variance in the locations")
        print("\n".join(f"{name:16}  {value:10.4g}" for name, value in location.items()))
    assert location["pathwise"] < location["leave-one-out"] < location["score"]
    assert location["stl"] < location["pathwise"]


@pytest.mark.parametrize("infer", ["score", "leave-one-out", "enumerate"])
def test_a_subsampling_plate_counts_once(infer):
    """Trace_ELBO's scale: N over the batch in the signal, and not in the score again."""
    logit = torch.full((DRAWS,), 0.3, dtype=torch.float64, requires_grad=True)
    x = torch.full((DRAWS,), 2.0, dtype=torch.float64)

    def plate():
        return pyro.plate("data", 10 * DRAWS, subsample=torch.arange(DRAWS))

    def model(x):
        with plate():
            b = pyro.sample("b", dist.Bernoulli(x.new_tensor(0.5)))
            pyro.sample("x", dist.Normal(b, 1.0), obs=x)

    def guide(x):
        with plate():
            pyro.sample("b", dist.Bernoulli(logits=logit), infer={"estimator": infer})

    pyro.set_rng_seed(0)
    (-ELBO(particles=2).differentiable_loss(model, guide, x)).backward()
    # The derivative of q (1.5 - log q + log(1 - q)) + ..., and dq is q (1 - q).
    q = torch.sigmoid(torch.tensor(0.3, dtype=torch.float64))
    exact = 10 * (q * (1 - q) * (1.5 - 0.3)).item()
    g = logit.grad
    assert g is not None
    error = max(g.std().item() / math.sqrt(DRAWS), 1e-12)
    assert abs(g.mean().item() - exact) < LIMIT * error


def test_bernoulli_sites_relax_too():
    """Soft and hard values of a vector of Bernoullis, whose model is quadratic in them."""
    weight = torch.tensor([1.0, -0.5], dtype=torch.float64)
    start = torch.tensor([0.3, -0.4], dtype=torch.float64)

    def gradient(estimator):
        logits = start.expand(DRAWS, 2).clone().requires_grad_()

        def model(x):
            with pyro.plate("data", len(x)):
                b = pyro.sample("b", dist.Bernoulli(torch.full_like(start, 0.5)).to_event(1))
                pyro.sample("x", dist.Normal(b @ weight, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("b", dist.Bernoulli(logits=logits).to_event(1))

        pyro.set_rng_seed(0)
        objective = ELBO(estimator=estimator)
        x = torch.ones(DRAWS, dtype=torch.float64)
        (-objective.differentiable_loss(model, guide, x)).backward()
        assert logits.grad is not None
        return logits.grad.mean(0), (logits.grad.std(0) / math.sqrt(DRAWS)).max().item()

    exact, error = gradient("score")
    for estimator in (GumbelSoftmax(0.1), StraightThrough(0.1)):
        close, noise = gradient(estimator)
        assert (close - exact).norm() < 0.02 + LIMIT * (error + noise)
    far, noise = gradient(GumbelSoftmax(2.0))
    assert (far - exact).norm() > 0.02 + LIMIT * (error + noise)
