"""CompiledSVI takes the place of SVI: same losses, same parameters, same calls."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES
from compiled_cases import BARE, BOUNDS
from pyro.infer import SVI, ReweightedWakeSleep, Trace_ELBO
from torch import nn

from pyro_vae.training.compiled import CompiledSVI


@pytest.fixture
def same_numbers():
    """Random numbers of the compiled step as those of the eager one."""
    from torch._inductor import config

    with config.patch(fallback_random=True):
        yield


def _case(name):
    return CASES[name]() if name in CASES else BARE[name]()


def _train(kind, name, bound, steps, optim=None, **options):
    """Losses, and what was learned, buffers included."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    case = _case(name)
    optim = pyro.optim.Adam({"lr": 1e-2}) if optim is None else optim()
    svi = kind(case.model, case.guide, optim, BOUNDS[bound](), **options)
    losses = [svi.step(*case.args, **getattr(case, "kwargs", {})) for _ in range(steps)]
    assert all(isinstance(loss, float) for loss in losses)
    values = {k: v.detach().clone() for k, v in pyro.get_param_store().items()}
    owner = getattr(case.model, "__self__", None)
    if owner is not None:
        values |= {name: buffer.clone() for name, buffer in owner.named_buffers()}
    return svi, losses, values


def _assert_close(one, other, rtol):
    (_, losses, values), (_, others, references) = one, other
    assert losses == pytest.approx(others, rel=rtol)
    assert len(values) == len(references)
    # Instances of ours are named by number, so by order.
    for value, reference in zip(values.values(), references.values(), strict=True):
        torch.testing.assert_close(value, reference, rtol=rtol, atol=rtol)


def sgd():
    """For batch norms: the gradient of a bias before one is rounding, which Adam would enlarge."""
    return pyro.optim.SGD({"lr": 1e-3})


@pytest.mark.parametrize(
    ("name", "bound", "optim"),
    [
        ("ours-bernoulli", "ours", None),
        ("norms", "trace", sgd),
        ("mixture-parallel", "enum", None),
    ],
)
def test_after_many_steps_the_parameters_agree(name, bound, optim):
    compiled = _train(CompiledSVI, name, bound, 200, optim, backend="none", strict=True)
    assert compiled[0].compilations == 1
    _assert_close(compiled, _train(SVI, name, bound, 200, optim), 1e-4)


def test_compiled_steps_agree(same_numbers):
    compiled = _train(CompiledSVI, "norms", "trace", 30, sgd, strict=True)
    assert compiled[0].compilations == 1
    assert compiled[0].compile_seconds > 0
    _assert_close(compiled, _train(SVI, "norms", "trace", 30, sgd), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("ours-bernoulli", "ours"),
        ("ours-normal", "mean-field"),
        ("discrete", "trace"),
        ("auxiliary", "trace"),
        ("hierarchical", "ours-particles"),
        ("mixture-parallel", "enum"),
        ("mixture-in-model", "enum"),
        ("flow", "trace"),
        ("positive", "trace"),
        ("sequential", "trace"),
        ("modules", "trace"),
        ("auto-normal", "trace"),
        ("subsampled", "trace"),
        ("conditional", "trace"),
    ],
)
def test_after_many_compiled_steps_the_parameters_agree(name, bound, same_numbers):
    compiled = _train(CompiledSVI, name, bound, 200, strict=True)
    assert compiled[0].compilations == 1
    _assert_close(compiled, _train(SVI, name, bound, 200), 1e-4)


def test_running_means_are_written_as_often_as_steps_are_taken():
    _, _, values = _train(CompiledSVI, "norms", "trace", 7, backend="none", strict=True)
    assert values["encoder.1.num_batches_tracked"] == 7


def test_random_numbers_are_new_in_each_step_and_follow_the_seed():
    def run(seed):
        pyro.set_rng_seed(seed)
        return [svi.step(*case.args) for _ in range(4)]

    case = BARE["norms"]()  # samples and dropout
    still = pyro.optim.SGD({"lr": 0.0})
    svi = CompiledSVI(case.model, case.guide, still, Trace_ELBO(), backend="none", strict=True)
    for _ in range(2):
        svi.step(*case.args)
    first = run(1)
    assert len(set(first)) == 4
    assert run(1) == first
    assert run(2) != first


def test_the_mini_batch_that_a_plate_draws_is_new_in_each_step():
    case = BARE["subsampled"]()
    x = torch.zeros(12)
    x[0] = 100.0
    still = pyro.optim.SGD({"lr": 0.0})
    svi = CompiledSVI(case.model, case.guide, still, Trace_ELBO(), backend="none", strict=True)
    losses = [svi.step(x) for _ in range(60)][2:]
    with_the_outlier = sum(loss > 1e4 for loss in losses) / len(losses)
    assert abs(with_the_outlier - 1 / 3) < 0.25  # 4 of 12; 4 standard deviations


def test_evaluation_is_compiled_and_changes_nothing():
    case = BARE["positive"]()
    svi = CompiledSVI(
        case.model, case.guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO(), backend="none"
    )
    stock = SVI(case.model, case.guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
    for seed in range(4):
        pyro.set_rng_seed(seed)
        loss = svi.evaluate_loss(*case.args)
        pyro.set_rng_seed(seed)
        assert loss == pytest.approx(stock.evaluate_loss(*case.args), rel=1e-6)
    assert svi.compilations == 1
    svi.step(*case.args)
    assert svi.evaluate_loss(*case.args) != loss


def test_a_loss_that_is_not_finite_is_returned():
    pyro.set_rng_seed(0)

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(pyro.param("m", torch.tensor(0.0)), 1.0), obs=x)

    def guide(x):
        return None

    svi = CompiledSVI(model, guide, pyro.optim.SGD({"lr": 0.1}), Trace_ELBO(), backend="none")
    losses = [svi.step(torch.ones(3)) for _ in range(3)]
    assert all(map(math.isfinite, losses))
    assert svi.compilations == 1
    assert math.isnan(svi.step(torch.tensor([1.0, float("nan"), 1.0])))


def test_a_bound_with_two_losses():
    case = BARE["mixture-parallel"]()
    guide = pyro.poutine.infer_config(case.guide, lambda site: {"enumerate": None})
    bound = ReweightedWakeSleep(num_particles=4, vectorize_particles=False)

    def run(kind, **options):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = kind(case.model, guide, pyro.optim.Adam({"lr": 0.01}), bound, **options)
        return [svi.step(*case.args) for _ in range(6)]

    losses = run(CompiledSVI, backend="none", strict=True)
    for pair, reference in zip(losses, run(SVI), strict=True):
        assert pair == pytest.approx(reference, rel=1e-5)


def test_wrong_options_are_refused():
    case = BARE["positive"]()
    with pytest.raises(ValueError, match="backend is one of 'inductor', 'none'"):
        CompiledSVI(case.model, case.guide, torch.optim.Adam, Trace_ELBO(), backend="C")
    parameter = nn.Parameter(torch.zeros(1))
    with pytest.raises(TypeError, match="function from parameters to a torch optimizer"):
        CompiledSVI(case.model, case.guide, torch.optim.SGD([parameter], 0.1), Trace_ELBO())
