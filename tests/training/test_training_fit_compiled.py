"""``fit(compile=..., precision=...)``: the same run, in fewer seconds or fewer bits."""

from __future__ import annotations

import functools
import importlib
import warnings

import pyro
import pytest
import torch
from training_programs import FEATURES, binary, noisy, ours, real, same

from pyro_vae import fit
from pyro_vae.objectives import Objective
from pyro_vae.schedules import Linear
from pyro_vae.training import CompiledSVI
from pyro_vae.training.compiled_step import CompiledStep
from pyro_vae.training.compiling import PAYS_FROM, pays
from pyro_vae.training.precision import Bfloat16, precise

OPTIONS = {"epochs": 3, "batch_size": 20, "lr": 1e-2, "progress": False}
CPU = torch.device("cpu")


class Annealed(Objective):
    """The ELBO with a weight on its KL that follows a schedule."""

    def __init__(self) -> None:
        super().__init__()
        self.add_weight("beta", Linear(6, start=0.0, stop=1.0))

    def bound(self, terms):
        value = 0.0
        for site in terms.values():
            value = value + (site.log_p if site.kind == "observed" else -self.beta * site.kl).sum()
        return value / terms.particles


@pytest.fixture
def plain_backend(monkeypatch):
    """What is recorded, without the seconds of a compiler."""
    made = []

    def make(*args, **options):
        made.append(CompiledStep(*args, backend="none", **options))
        return made[-1]

    monkeypatch.setattr(importlib.import_module("pyro_vae.training.fit"), "CompiledStep", make)
    return made


def _weights(pair):
    parts = enumerate(program.state_dict() for program in pair)
    return {(i, name): tensor for i, state in parts for name, tensor in state.items()}


@pytest.mark.parametrize("make", [ours, noisy])
@pytest.mark.parametrize("objective", [None, Annealed])
def test_a_compiled_run_is_the_eager_run(plain_backend, make, objective):
    eager, compiled = make(), make()
    own = {"objective": objective() if objective else None}
    expected = fit(*eager, binary(50), compile=False, **own, **OPTIONS)
    own = {"objective": objective() if objective else None}
    history = fit(*compiled, binary(50), compile=True, **own, **OPTIONS)
    (step,) = plain_backend
    assert step.compilations == 1  # the last mini-batch of an epoch, of 10, stays eager
    assert history["elbo"] == pytest.approx(expected["elbo"], rel=1e-5)
    torch.testing.assert_close(_weights(compiled), _weights(eager), rtol=1e-5, atol=1e-6)


def test_a_weight_that_follows_a_schedule_is_seen_and_reported(plain_backend):
    objective = Annealed()
    history = fit(*ours(), real(60), objective=objective, compile=True, **OPTIONS)
    assert plain_backend[0].compilations == 1
    # Three steps an epoch: the last steps of the epochs are 2, 5 and 8, of a ramp over 6.
    assert history["beta"] == pytest.approx([2 / 6, 5 / 6, 1.0])
    assert "beta" not in fit(*ours(), real(20), **OPTIONS).columns


def test_a_compiled_run_resumes_as_it_was_begun(plain_backend, tmp_path):
    whole, pair = ours(), ours()
    fit(*whole, real(60), compile=True, **OPTIONS)
    path = tmp_path / "run.pt"
    half = {**OPTIONS, "schedule": "constant"}
    whole, pair = ours(), ours()
    fit(*whole, real(60), compile=True, **half)
    fit(*pair, real(60), compile=True, checkpoint=path, **{**half, "epochs": 1})
    fit(*pair, real(60), resume=path, **half)  # "auto" follows the file
    assert plain_backend[-1].compilations == 1
    assert same(_weights(pair), _weights(whole))
    with pytest.raises(ValueError, match="compile=True, not False: resume with the same"):
        fit(*pair, real(60), compile=False, resume=path, **half)


def test_a_schedule_goes_on_where_it_was(tmp_path):
    whole, pair = ours(), ours()
    half = {**OPTIONS, "schedule": "constant"}
    expected = fit(*whole, real(60), objective=Annealed(), **half)
    path = tmp_path / "run.pt"
    fit(*pair, real(60), objective=Annealed(), checkpoint=path, **{**half, "epochs": 1})
    history = fit(*pair, real(60), objective=Annealed(), resume=path, **half)
    assert history["beta"] == expected["beta"]
    assert same(_weights(pair), _weights(whole))
    other = Annealed()
    other.schedules["beta"].length = 7.0
    with pytest.raises(ValueError, match="beta of the objective"):
        fit(*pair, real(60), objective=other, resume=path, **half)


def test_short_runs_stay_eager_and_long_ones_do_not(plain_backend):
    assert pays("auto", PAYS_FROM["cpu"], CPU, None)
    assert not pays("auto", PAYS_FROM["cpu"] - 1, CPU, None)
    assert pays("auto", 1, CPU, begun=True)
    assert not pays("auto", 10**6, CPU, begun=False)
    fit(*ours(), real(20), **OPTIONS)
    assert plain_backend == []


def test_what_cannot_be_compiled_runs_eagerly_after_one_warning(plain_backend):
    model, guide = ours()

    def by_value(x):
        return model(x if x.sum() > -1e9 else -x)

    with pytest.warns(UserWarning, match="the compiled step runs eagerly") as caught:
        history = fit(by_value, guide, real(60), compile=True, **OPTIONS)
    assert len(caught) == 1
    assert len(history) == 3


def test_without_a_compiler_it_says_so_in_one_line():
    from torch._inductor import config

    nowhere = config.patch({"cpp.cxx": ("no-such-compiler",)})
    with nowhere, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(*ours(), real(60), compile=True, **OPTIONS)
    (line,) = [str(w.message) for w in caught if "eagerly" in str(w.message)]
    assert "no C++ compiler was found: install g++ or clang, or name one in CXX" in line
    assert "\n" not in line
    assert len(history) == 3


def test_the_bar_says_that_it_is_compiling(plain_backend, capsys):
    fit(*ours(), real(60), compile=True, **{**OPTIONS, "progress": None})
    assert "compiling" in capsys.readouterr().err


@pytest.mark.parametrize("option", [{"compile": "yes"}, {"precision": "fp16"}])
def test_other_words_are_refused(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"^{name} is "):
        fit(*ours(), real(20), **option, **OPTIONS)


def test_layers_are_rounded_and_densities_are_not():
    torch.manual_seed(0)
    x, w = torch.randn(8, 64), torch.randn(4, 64, requires_grad=True)
    with Bfloat16():
        y = torch.nn.functional.linear(x, w)
        logs = torch.distributions.Normal(y, 1.0).log_prob(y + 1e-3)
    exact = x @ w.T
    # Each factor is within 2^-9 of itself, so a product is within 2^-8 and a bit.
    bound = (x.abs() @ w.abs().T) * (2**-8 + 2**-12)
    assert ((y - exact).abs() <= bound).all()
    assert not torch.equal(y, exact)
    assert y.dtype == logs.dtype == torch.float32
    y.sum().backward()
    assert w.grad.dtype == torch.float32


@pytest.mark.parametrize("compile", [False, True])
def test_a_run_in_bfloat16_comes_near_the_exact_one(plain_backend, compile):
    exact, rounded = ours(), ours()
    expected = fit(*exact, real(60), **OPTIONS)
    history = fit(*rounded, real(60), precision="bf16", compile=compile, **OPTIONS)
    assert history["elbo"] != expected["elbo"]
    assert history["elbo"] == pytest.approx(expected["elbo"], rel=0.02)
    assert all(tensor.dtype == torch.float32 for tensor in _weights(rounded).values())


def test_tf32_is_an_option_of_the_run_alone():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with precise("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_an_objective_with_a_schedule_moves_in_stock_and_in_compiled_svi():
    for kind in (pyro.infer.SVI, functools.partial(CompiledSVI, backend="none", strict=True)):
        objective = Annealed()
        svi = kind(*ours(), pyro.optim.Adam({"lr": 1e-3}), objective)
        seen = []
        for _ in range(4):
            svi.step(torch.zeros(3, FEATURES))
            seen.append(float(objective.beta))
        assert seen == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6])
    assert svi.compilations == 1


@pytest.mark.slow
def test_under_the_compiler_two_hundred_steps_agree():
    from torch._inductor import config

    eager, compiled = ours(), ours()
    options = {**OPTIONS, "epochs": 67}  # 201 steps
    fit(*eager, real(60), compile=False, **options)
    with config.patch(fallback_random=True):
        fit(*compiled, real(60), compile=True, **options)
    torch.testing.assert_close(_weights(compiled), _weights(eager), rtol=1e-4, atol=1e-4)
