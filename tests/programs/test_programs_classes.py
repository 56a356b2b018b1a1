"""Programs with classes under Pyro's own SVI, compiled, saved and resumed, and in ``explain``."""

from __future__ import annotations

import copy

import pyro
import pytest
import torch
from class_programs import FAMILIES, codes, parameters, semi
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate

from pyro_vae import fit
from pyro_vae.objectives import ELBO, explain
from pyro_vae.terms import ProgramError
from pyro_vae.training import CompiledSVI

OPTIONS = {
    "semi": [{"auxiliary": 1.0}, {"estimator": "leave-one-out"}, {"estimator": "gumbel-softmax"}],
    "clusters": [{}, {"estimator": "leave-one-out"}],
    "codes": [{}, {"estimator": "leave-one-out"}, {"estimator": "straight-through"}],
    "quantised": [{}],
}
CASES = [(name, options) for name, several in OPTIONS.items() for options in several]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_explain_is_clean(name, options):
    model, guide, args = FAMILIES[name](**options)
    found = explain(model, guide, *args, objective=ELBO(particles=2))
    assert found.problems == []


@pytest.mark.parametrize("name", FAMILIES)
def test_stock_svi_moves_every_parameter(name):
    exact = [] if name == "quantised" else [TraceEnum_ELBO(max_plate_nesting=1)]
    for loss in [Trace_ELBO(), *exact]:
        model, guide, args = FAMILIES[name]()
        enumerated = loss in exact
        before = {n: p.detach().clone() for n, p in parameters(model, guide).items()}
        svi = SVI(
            model,
            config_enumerate(guide, "parallel") if enumerated else guide,
            pyro.optim.Adam({"lr": 1e-2}),
            loss,
        )
        for _ in range(3):
            svi.step(*args)
        still = [n for n, p in parameters(model, guide).items() if torch.equal(p, before[n])]
        assert still == []
        pyro.clear_param_store()


@pytest.mark.parametrize("make", [semi, codes])
def test_enumeration_is_that_of_trace_enum_elbo(make):
    model, guide, args = make()
    torch.manual_seed(2)
    ours = ELBO("sampled").loss(model, guide, *args)
    torch.manual_seed(2)
    theirs = TraceEnum_ELBO(max_plate_nesting=1).loss(
        model, config_enumerate(guide, "parallel"), *args
    )
    assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_compiled_steps_are_the_eager_ones(name, options):
    model, guide, args = FAMILIES[name](**options)
    twin = copy.deepcopy(torch.nn.ModuleList([model, guide]))
    losses = []
    for programs, kind in ((twin, None), ((model, guide), CompiledSVI)):
        objective, adam = ELBO(particles=2), pyro.optim.Adam({"lr": 1e-2})
        torch.manual_seed(0)
        if kind is None:
            svi = SVI(*programs, adam, objective)
        else:
            svi = kind(*programs, adam, objective, backend="none", strict=True)
        losses.append([svi.step(*args) for _ in range(4)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert svi.compilations == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_is_resumed_where_it_ended(name, tmp_path):
    model, guide, args = FAMILIES[name]()
    twins = copy.deepcopy(torch.nn.ModuleList([model, guide]))
    thirds = copy.deepcopy(twins)
    options = {"batch_size": 3, "schedule": "constant", "progress": False}
    whole = fit(model, guide, args, epochs=4, **options)
    fit(*twins, args, epochs=2, checkpoint=tmp_path / "half", **options)
    resumed = fit(*thirds, args, epochs=4, resume=tmp_path / "half", **options)
    assert resumed["elbo"] == whole["elbo"]
    for a, b in zip(thirds.parameters(), [*model.parameters(), *guide.parameters()], strict=False):
        assert torch.isfinite(a).all() and torch.isfinite(b).all()


def test_fit_names_the_label_that_is_outside():
    model, guide, (x, label) = semi()
    wrong = label.clone()
    wrong[5] = 7
    with pytest.raises(ProgramError, match=r"\b7\b.*\b5\b|label 7 of example") as caught:
        fit(model, guide, (x, wrong), epochs=1, batch_size=2, progress=False)
    assert "\n" not in str(caught.value)
