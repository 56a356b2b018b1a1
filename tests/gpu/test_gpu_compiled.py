"""On a CUDA device: the captured step against the eager one, and both against the CPU."""

from __future__ import annotations

import pyro
import pytest
import torch
from compiled_cases import BARE
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from training_programs import noisy, ours, real, same

from pyro_vae import ELBO, fit, schedules
from pyro_vae.objectives import BetaELBO
from pyro_vae.training import CompiledSVI

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
OPTIONS = {"epochs": 3, "batch_size": 20, "lr": 1e-2, "progress": False, "device": "cuda"}


def _weights(pair):
    parts = enumerate(program.state_dict() for program in pair)
    return {(i, name): tensor.cpu() for i, state in parts for name, tensor in state.items()}


def _deterministic(seed=0):
    """A guide without noise: what is left is arithmetic, the same on every device."""
    model, guide = ours(seed)

    def point(x):
        with pyro.plate("data", len(x)):
            loc = guide.posterior(x).mean
            return pyro.sample("z", pyro.distributions.Delta(loc).to_event(1))

    point.guide = guide
    return model, guide, point


@pytest.mark.parametrize("loss", [Trace_ELBO, TraceMeanField_ELBO, ELBO])
@pytest.mark.parametrize("backend", ["none", "inductor"])
def test_the_captured_step_is_the_eager_one(loss, backend):
    """The graph draws from the same generator; only the order of its draws may differ."""
    results = []
    for kind, options in ((SVI, {}), (CompiledSVI, {"backend": backend, "strict": True})):
        pyro.clear_param_store()
        model, guide = ours()
        model.cuda(), guide.cuda()
        adam = pyro.optim.Adam({"lr": 1e-2})
        svi = kind(model, guide, adam, loss(), **options)
        pyro.set_rng_seed(1)
        losses = [svi.step(real(40).cuda()) for _ in range(200)]
        results.append(sum(losses[100:]) / 100)
    # The noise of a mean of 100 steps is far below a percent of the loss.
    assert results[1] == pytest.approx(results[0], rel=0.01)
    assert svi.compilations == 1


def test_one_step_without_noise_is_the_cpus():
    model, guide, point = _deterministic()
    x = real(40)
    expected = SVI(model, point, pyro.optim.SGD({"lr": 1e-2}), Trace_ELBO())
    expected_losses = [expected.step(x) for _ in range(5)]
    wanted = _weights((model, guide))
    pyro.clear_param_store()
    model, guide, point = _deterministic()
    model.cuda(), guide.cuda()
    sgd = pyro.optim.SGD({"lr": 1e-2})
    svi = CompiledSVI(model, point, sgd, Trace_ELBO(), strict=True, backend="none")
    assert [svi.step(x.cuda()) for _ in range(5)] == pytest.approx(expected_losses, rel=1e-4)
    torch.testing.assert_close(_weights((model, guide)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["norms", "flow", "modules", "conditional"])
def test_bare_programs_are_captured(name):
    torch.set_default_device("cuda")
    try:
        case = BARE[name]()
        adam = pyro.optim.Adam({"lr": 1e-3})
        svi = CompiledSVI(case.model, case.guide, adam, Trace_ELBO(), strict=True, backend="none")
        losses = [svi.step(*case.args, **case.kwargs) for _ in range(5)]
    finally:
        torch.set_default_device("cpu")
    assert svi.compilations == 1
    assert all(torch.isfinite(torch.tensor(losses)))


@pytest.mark.parametrize("make", [ours, noisy])
def test_a_compiled_run_learns_what_an_eager_one_does(make):
    eager, compiled = make(), make()
    long = {**OPTIONS, "epochs": 60}
    expected = fit(*eager, real(60), compile=False, **long)
    history = fit(*compiled, real(60), compile=True, **long)
    assert history["elbo"][-1] == pytest.approx(expected["elbo"][-1], rel=0.05)


@pytest.mark.parametrize("compile", [False, True])
def test_a_run_on_the_gpu_resumes_bit_for_bit(compile, tmp_path):
    whole, pair, path = ours(), ours(), tmp_path / "run.pt"
    options = {**OPTIONS, "schedule": "constant", "compile": compile}
    fit(*whole, real(60), **options)
    fit(*pair, real(60), checkpoint=path, **{**options, "epochs": 1})
    fit(*pair, real(60), resume=path, **options)
    assert same(_weights(pair), _weights(whole))


def test_schedules_move_within_the_captured_graph():
    objective = BetaELBO(schedules.Linear(9))
    history = fit(*ours(), real(60), objective=objective, compile=True, **OPTIONS)
    assert history["beta"] == pytest.approx([2 / 9, 5 / 9, 8 / 9])


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_fewer_bits_come_near(precision):
    long = {**OPTIONS, "epochs": 60}
    expected = fit(*ours(), real(60), **long)
    history = fit(*ours(), real(60), precision=precision, compile=True, **long)
    assert history["elbo"][-1] == pytest.approx(expected["elbo"][-1], rel=0.05)
