"""The compiled step of fit: the eager step's numbers."""

from __future__ import annotations

import functools

import pyro
import pytest
import torch
from catalogue import CASES
from compiled_cases import BARE
from pyro.infer import Trace_ELBO

from pyro_vae.checks import check
from pyro_vae.objectives import ELBO
from pyro_vae.training.compiled_step import CompiledStep
from pyro_vae.training.optimizer import make_optimizer
from pyro_vae.training.schedule import make_schedule
from pyro_vae.training.staging_error import StagingError
from pyro_vae.training.step import EagerStep

compiled = functools.partial(CompiledStep, backend="none", strict=True)


def _step(kind, case, objective=None, **options):
    pyro.set_rng_seed(2)
    found = check(case.model, case.guide, *case.args)
    assert not found.problems
    optimizer = make_optimizer(found.theta.values(), found.phi.values(), lr=1e-2)
    step = kind(case.model, case.guide, objective or ELBO(), optimizer, **options)
    return step, {**found.theta, **found.phi}


def _train(kind, make, objective=None, steps=20, **options):
    pyro.clear_param_store()
    case = make()
    step, weights = _step(kind, case, objective, **options)
    schedule = make_schedule(step.optimizer, "cosine", steps)
    pyro.set_rng_seed(0)
    results = []
    for _ in range(steps):
        results.append({k: float(v) for k, v in step(*case.args).values().items()})
        schedule.step()
    return step, results, [weight.detach().clone() for weight in weights.values()]


@pytest.mark.parametrize("clip_norm", [None, 0.01])
@pytest.mark.parametrize("objective", [ELBO, lambda: ELBO(particles=3), Trace_ELBO])
def test_steps_agree_from_the_first(objective, clip_norm):
    options = {"objective": objective(), "clip_norm": clip_norm}
    step, results, weights = _train(compiled, CASES["ours-bernoulli"], **options)
    assert step.compilations == 1
    options["objective"] = objective()
    _, expected, references = _train(EagerStep, CASES["ours-bernoulli"], **options)
    for result, reference in zip(results, expected, strict=True):
        assert result == pytest.approx(reference, rel=1e-4, abs=1e-5)
    for weight, reference in zip(weights, references, strict=True):
        torch.testing.assert_close(weight, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_steps_agree_under_the_compiler():
    from torch._inductor import config

    with config.patch(fallback_random=True):
        _, results, _ = _train(CompiledStep, CASES["ours-bernoulli"], strict=True)
    _, expected, _ = _train(EagerStep, CASES["ours-bernoulli"])
    for result, reference in zip(results, expected, strict=True):
        assert result == pytest.approx(reference, rel=1e-4, abs=1e-5)


def test_other_sizes_stay_eager_where_one_is_given():
    case = CASES["bare"]()
    step, _ = _step(compiled, case, batch_size=5)
    for _ in range(3):
        step(case.args[0])
        step(case.args[0][:3])
    assert step.compilations == 1


def test_nothing_is_changed_by_a_loss_that_is_not_finite():
    case = CASES["ours-normal"]()
    step, weights = _step(compiled, case)
    x = case.args[0]
    step(x)
    before = [weight.detach().clone() for weight in weights.values()]
    assert not step(torch.full_like(x, float("nan"))).loss.isfinite()
    assert all(map(torch.equal, before, weights.values()))
    assert step(x).loss.isfinite()


def test_the_rehearsal_leaves_running_means_as_they_were():
    case = BARE["norms"]()
    step, _ = _step(compiled, case, Trace_ELBO())
    norm = case.model.__self__.encoder[1]
    before = int(norm.num_batches_tracked)
    for _ in range(3):
        step(*case.args)
    assert step.compilations == 1
    assert norm.num_batches_tracked == before + 3


def test_what_cannot_be_compiled_is_named():
    case = CASES["bare"]()
    plain = case.model

    def model(x):
        plain(x if x.sum() > -1 else -x)

    case.model = model
    step, _ = _step(compiled, case)
    with pytest.raises(StagingError, match=r"the compiled step cannot compile.*x\.sum"):
        step(*case.args)
    step, _ = _step(functools.partial(CompiledStep, backend="none"), case)
    with pytest.warns(UserWarning, match="the compiled step runs eagerly"):
        results = [step(*case.args).loss for _ in range(3)]
    assert all(map(torch.isfinite, results))
    assert step.compilations == 0
