"""Which estimator a site gets: whose choice comes first, what is refused, what is said."""

from __future__ import annotations

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from estimator_programs import Classes, coin, normal
from pyro.infer.autoguide import AutoDelta, AutoNormalMessenger
from torch import nn

from pyro_vae.estimators.base import Learned, RunningMean
from pyro_vae.estimators.discrete import GumbelSoftmax
from pyro_vae.objectives import ELBO, explain
from pyro_vae.terms import ProgramError, site_terms


def test_trap_04_a_kl_that_must_be_sampled_is_said_to_be():
    """Trap 4: no silent fall back to sampling where the closed form was asked for."""
    for estimator in ("stl", "score"):
        pyro.clear_param_store()
        model, guide = normal()
        objective = ELBO("analytic", estimator=estimator)
        with pytest.raises(ProgramError, match=r"^site 'z' cannot take estimator .* sampled KL"):
            objective.loss(model, guide, torch.zeros(3))
        assert "'z'" in explain(model, guide, torch.zeros(3), objective=objective).problems[0]


def one(fn, prior=None):
    return partial(normal, fn, prior=prior)


CATEGORICAL = one(lambda _: dist.Categorical(torch.ones(3)), dist.Categorical(torch.ones(3)))
VECTOR = one(
    lambda _: dist.Bernoulli(torch.full((2,), 0.5)).to_event(1),
    dist.Bernoulli(torch.full((2,), 0.5)).to_event(1),
)
POISSON = one(lambda _: dist.Poisson(torch.tensor(1.0)), dist.Poisson(torch.tensor(1.0)))
REFUSALS = {
    "pathwise, discrete": (CATEGORICAL, "pathwise", "sample; use 'enumerate', 'score'"),
    "stl, discrete": (CATEGORICAL, "stl", "no reparameterised sample"),
    "enumerate, continuous": (normal, "enumerate", "no finite list .* use 'pathwise' or 'score'"),
    "enumerate, counts": (POISSON, "enumerate", "no finite list of values; use 'score'"),
    "enumerate, vector": (VECTOR, "enumerate", "put them in a plate"),
    "leave-one-out, alone": (normal, "leave-one-out", r"use ELBO\(particles=2\) or more"),
    "gumbel, indices": (CATEGORICAL, "gumbel-softmax", "draw OneHotCategorical in model"),
    "straight-through, indices": (CATEGORICAL, "straight-through", "draw OneHotCategorical"),
    "gumbel, continuous": (normal, "gumbel-softmax", "a Normal has no relaxation"),
    "gumbel, counts": (POISSON, "gumbel-softmax", "a Poisson has no relaxation"),
    "score, point": (one(dist.Delta), "score", "a point mass has no density"),
    "score, moving support": (
        one(lambda loc: dist.Uniform(loc, loc + 1)), "score", "support of its Uniform moves"
    ),
    "unknown": (normal, "scored", "is one of 'pathwise', .* not 'scored'"),
}  # fmt: skip


@pytest.mark.parametrize("where", ["site", "objective"])
@pytest.mark.parametrize("name", REFUSALS)
def test_an_illegal_estimator_is_refused_by_name(name, where):
    build, estimator, message = REFUSALS[name]
    if where == "site":
        model, guide = build(infer={"estimator": estimator})
        objective = ELBO()
    else:
        model, guide = build()
        if name == "unknown":
            with pytest.raises(ValueError, match=rf"^estimator {message}"):
                ELBO(estimator=estimator)
            return
        objective = ELBO(estimator=estimator)
    with pytest.raises(ProgramError, match=rf"site 'z'.*{message}") as caught:
        objective.loss_and_grads(model, guide, torch.zeros(3))
    assert "\n" not in str(caught.value)


def test_other_refusals():
    x = torch.zeros(3)
    model, guide = normal()
    with pytest.raises(ProgramError, match=r"for site 'w', .* it samples 'z'"):
        ELBO(estimator={"w": "stl"}).loss(model, guide, x)
    with pytest.raises(ProgramError, match="'z' was not drawn for estimator 'score'"):
        ELBO(estimator="score").bound(site_terms(model, guide, x))
    with pytest.raises(ValueError, match="the class RunningMean: make one"):
        ELBO(estimator=RunningMean)
    with pytest.raises(ValueError, match="decay is a number"):
        RunningMean(1.0)
    with pytest.raises(ValueError, match="temperature is a positive number"):
        GumbelSoftmax(0.0)
    with pytest.raises(ProgramError, match=r"use ELBO\(kl='auto'\)"):
        ELBO("sampled", estimator="straight-through").loss(*coin()[:2], x)
    case = Classes()
    both = ELBO(estimator={"y": "enumerate", "z": "stl"})
    with pytest.raises(ProgramError, match="'z' cannot take estimator 'stl' while 'y' is enum"):
        both.loss(case.model, case.guide, case.x)
    network = nn.Linear(4, 1).double()
    shared = ELBO(estimator={"y": Learned(network=network), "w": Learned(network=network)})
    with pytest.raises(ProgramError, match="'w' shares the network of its baseline"):
        shared.loss_and_grads(case.model, case.guide, case.x)


def test_a_sum_across_an_enumerated_sites_plate_is_refused():
    def model(x):
        with pyro.plate("data", len(x), dim=-2):
            with pyro.plate("bits", 3, dim=-1):
                b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))
            pyro.sample("x", dist.Normal(b.sum(-1, keepdim=True), 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-2), pyro.plate("bits", 3, dim=-1):
            pyro.sample("b", dist.Bernoulli(torch.full((3,), 0.4)))

    with pytest.raises(ProgramError, match=r"'x' depends on enumerated site 'b', but lies outs"):
        ELBO(estimator="enumerate").loss(model, guide, torch.zeros(4, 1))
    with pytest.raises(ProgramError, match=r"'b' cannot take estimator 'learned'.* outside the"):
        ELBO(estimator="learned").loss(_shared_model, _shared_guide, torch.zeros(4))


def _shared_model(x):
    b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(b, 1.0), obs=x)


def _shared_guide(x):
    pyro.sample("b", dist.Bernoulli(torch.tensor(0.4)))


def test_the_sites_own_choice_comes_first():
    case = Classes()
    objective = ELBO(estimator={"y": "straight-through", "w": "enumerate"})
    assert objective.notes() == []
    found = explain(case.model, case.guide, case.x, objective=objective)
    assert found.problems == []
    assert found.notes[-2:] == [
        "gradient of 'y': straight-through, biased: its gradient is that of a relaxed sample",
        "gradient of 'w': enumerate",
    ]
    # Who sums over all values needs no score function.
    assert not any("KL of 'w'" in note for note in found.notes)
    scored = explain(case.model, case.guide, case.x, objective=ELBO(estimator={"w": "score"}))
    assert any("KL of 'w' is sampled" in note for note in scored.notes)
    objective = ELBO(estimator="score")
    guide = partial(case.guide, infer={"estimator": "enumerate"})
    assert explain(case.model, guide, case.x, objective=objective).problems == []
    assert objective.notes() == [
        "gradient of 'y': enumerate", "gradient of 'w': enumerate", "gradient of 'z': score"
    ]  # fmt: skip


def test_every_default_is_left_as_it_was():
    model, guide = normal()
    objective = ELBO()
    objective.loss_and_grads(model, guide, torch.zeros(3))
    assert objective.notes() == [] and not list(objective.parameters())
    assert set(objective.state_dict()) == {"steps"}


def test_pyros_own_guides():
    model, _ = normal()
    x = torch.zeros(3)
    guide = AutoNormalMessenger(model)
    objective = ELBO(estimator="stl")
    assert torch.isfinite(torch.tensor(objective.loss_and_grads(model, guide, x)))
    assert objective.notes() == ["gradient of 'z': stl"]
    with pytest.raises(ProgramError, match="point mass"):
        ELBO(estimator="score").loss(model, AutoDelta(model), x)


def test_a_relaxed_sites_kl_must_have_a_valid_closed_form():
    def model(x):
        with pyro.plate("data", len(x)):
            a = pyro.sample("a", dist.Bernoulli(torch.tensor(0.5)))
            b = pyro.sample("b", dist.Bernoulli(0.3 + 0.4 * a))
            pyro.sample("x", dist.Normal(b, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(torch.full((len(x),), 0.4)))
            pyro.sample("a", dist.Bernoulli(0.2 + 0.5 * b))

    for estimator in ("gumbel-softmax", "straight-through"):
        with pytest.raises(ProgramError, match=r"'b' cannot take .* guide draws 'a', a possible"):
            ELBO(estimator=estimator).loss_and_grads(model, guide, torch.zeros(3))

    binomial = dist.Binomial(1, torch.tensor(0.5))
    model, _ = normal(prior=binomial)
    _, guide = normal(lambda _: dist.Bernoulli(torch.tensor(0.5)))
    with pytest.raises(ProgramError, match=r"no closed form .* Bernoulli against Binomial; use"):
        ELBO(estimator="straight-through").loss_and_grads(model, guide, torch.zeros(3))


def test_effect_based_guides_neither_enumerate_nor_relax():
    model, _ = normal()

    class Coins(AutoNormalMessenger):
        def get_posterior(self, name, prior):
            return dist.Bernoulli(torch.tensor(0.5))

    model, _ = normal(prior=dist.Bernoulli(torch.tensor(0.5)))
    for estimator in ("enumerate", "gumbel-softmax"):
        with pytest.raises(ProgramError, match="Coins samples within the model's own run"):
            ELBO(estimator=estimator).loss_and_grads(model, Coins(model), torch.zeros(3))
    ELBO(estimator="straight-through").loss_and_grads(model, Coins(model), torch.zeros(3))
