"""Estimators against Pyro's own: the same value and gradients, exact sums above all."""

from __future__ import annotations

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES, Case
from estimator_programs import Classes, value_and_gradients
from gradient_programs import Mixture
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO, config_enumerate
from torch import nn

from pyro_vae.objectives import ELBO


def assert_same(ours, theirs, model, guide, their_guide, *args):
    loss, gradients = value_and_gradients(ours, model, guide, *args)
    expected, expected_gradients = value_and_gradients(theirs, model, their_guide, *args)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    assert gradients.keys() == expected_gradients.keys() and gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("options", [{}, {"mask": True}, {"subsample": True}, {"z": False}])
def test_enumeration_equals_trace_enum_elbo(options, particles):
    case = Classes(**options)
    guide = partial(case.guide, infer={"estimator": "enumerate"})
    theirs = TraceEnum_ELBO(
        max_plate_nesting=1, num_particles=particles, vectorize_particles=particles > 1
    )
    ours = ELBO("sampled", particles=particles)
    assert_same(ours, theirs, case.model, guide, config_enumerate(case.guide), case.x)


def test_enumeration_in_nested_plates_equals_trace_enum_elbo():
    case = CASES["discrete"]().double()
    theirs = TraceEnum_ELBO(max_plate_nesting=2)
    ours = ELBO(estimator="enumerate")
    assert_same(ours, theirs, case.model, case.guide, config_enumerate(case.guide), *case.args)
    # No sample is left, so the split is exact, for each example.
    terms = ours.terms(case.model, case.guide, *case.args)
    report = ours.split(terms)
    assert report.elbo.shape == (5,)
    loss = ours.loss(case.model, case.guide, *case.args)
    assert -report.elbo.sum().item() == pytest.approx(loss, abs=1e-9)


def test_each_examples_share_is_its_own():
    case = Classes(z=False)
    objective = ELBO(estimator="enumerate")
    together = objective.split(objective.terms(case.model, case.guide, case.x)).elbo
    whole = case.mask
    for i in range(len(case.x)):
        case.mask = whole[i : i + 1]
        alone = objective.split(objective.terms(case.model, case.guide, case.x[i : i + 1])).elbo
        torch.testing.assert_close(alone[0], together[i], rtol=1e-12, atol=0)


def test_no_probability_and_no_density_make_no_nan():
    def model(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Categorical(torch.tensor([0.5, 0.5, 0.0])))
            pyro.sample("x", dist.Normal(b.float(), 1.0), obs=x)

    logits = torch.tensor([0.1, 0.2, -torch.inf], requires_grad=True)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Categorical(logits=logits))

    loss = ELBO(estimator="enumerate").differentiable_loss(model, guide, torch.zeros(3))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_the_value_equals_trace_graph_elbo_and_every_estimators():
    """At the same random numbers the samples, and so the value, are the same."""
    mixture = Mixture(50)
    pyro.set_rng_seed(0)
    theirs = TraceGraph_ELBO().loss(mixture.model, mixture.guide, mixture.data)
    for estimator in ("score", "running-mean", "learned", "gumbel-softmax"):
        for kl in ("sampled", "auto"):
            if (estimator, kl) == ("gumbel-softmax", "sampled"):
                continue
            pyro.set_rng_seed(0)
            objective = ELBO(kl, estimator={"k": estimator})
            ours = objective.differentiable_loss(mixture.model, mixture.guide, mixture.data)
            if kl == "sampled":
                assert ours.item() == pytest.approx(theirs, abs=1e-6)
            pyro.set_rng_seed(0)
            assert objective.loss(mixture.model, mixture.guide, mixture.data) == pytest.approx(
                ours.item(), abs=1e-9
            )


def test_the_gradient_agrees_with_trace_graph_elbo_in_the_mean():
    """Both have the exact mean; theirs leaves out what comes before a site."""
    found = []
    for objective in (ELBO("sampled", estimator={"k": "score"}), TraceGraph_ELBO()):
        mixture = Mixture(20_000)
        for value in mixture.own.values():
            value.grad = None

        def registered(x, guide=mixture.guide, own=mixture.own):
            for name, value in own.items():
                pyro.param(name, value)
            guide(x)

        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        objective.loss_and_grads(mixture.model, registered, mixture.data)
        found.append([p.unconstrained().grad for p in _store().values()])
    for ours, theirs in zip(*found, strict=True):
        error = ((ours.var(0) + theirs.var(0)) / len(ours)).sqrt()
        assert ((ours.mean(0) - theirs.mean(0)).abs() < 4 * error).all()


def _store():
    return {name: pyro.param(name) for name in pyro.get_param_store()}


def test_subsampled_discrete_sites_equal_trace_elbo():
    case = Classes(subsample=True)
    assert_same(ELBO("sampled"), Trace_ELBO(), case.model, case.guide, case.guide, case.x)


def test_a_flow_is_scored_with_its_whole_gradient():
    """The cache of a transform knows the sample drawn, but not what its parameters are to it."""
    scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x, flow: bool):
        base = dist.Normal(x.new_zeros(()), 1.0)
        map_ = dist.transforms.AffineTransform(0.0, scale, cache_size=1)
        with pyro.plate("data", len(x)):
            fn = dist.TransformedDistribution(base, [map_]) if flow else dist.Normal(0.0, scale)
            pyro.sample("z", fn)

    found = []
    for flow in (True, False):
        scale.grad = None
        pyro.set_rng_seed(0)
        x = torch.ones(50, dtype=torch.float64)
        ELBO("sampled", estimator="score").loss_and_grads(model, partial(guide, flow=flow), x)
        found.append(scale.grad.item())
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_cases_with_every_kind_of_site():
    """The score function at every site of every program of the catalogue runs, and is finite."""
    for name, build in CASES.items():
        case: Case = build()
        for estimator in ("score", "leave-one-out"):
            objective = ELBO(particles=2, estimator=estimator)
            loss, gradients = value_and_gradients(objective, case.model, case.guide, *case.args)
            assert loss.isfinite() and gradients, name
            assert all(g.isfinite().all() for g in gradients.values()), name


@pytest.mark.parametrize("estimator", ["pathwise", "stl", "score", "leave-one-out"])
def test_a_subsample_of_a_tenth_has_ten_times_the_gradient(estimator):
    """At the same random numbers; a scale that counted twice would make it a hundred."""
    found = []
    for whole in (4, 40):
        loc = torch.zeros(4, dtype=torch.float64, requires_grad=True)

        def model(x, whole=whole):
            with pyro.plate("data", whole, subsample=torch.arange(4)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        def guide(x, whole=whole, loc=loc):
            with pyro.plate("data", whole, subsample=torch.arange(4)):
                pyro.sample("z", dist.Normal(loc, 0.8))

        pyro.set_rng_seed(0)
        objective = ELBO("sampled", particles=2, estimator=estimator)
        x = torch.ones(4, dtype=torch.float64)
        objective.differentiable_loss(model, guide, x).backward()
        found.append(loc.grad)
    torch.testing.assert_close(found[1], 10 * found[0], rtol=1e-12, atol=0)
