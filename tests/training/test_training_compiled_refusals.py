"""What cannot be compiled is named and runs eagerly, with the eager numbers."""

from __future__ import annotations

import functools
import random
import time
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
from torch import Tensor

from pyro_vae.training.call import Call
from pyro_vae.training.compiled import CompiledSVI
from pyro_vae.training.rehearsal import rehearse
from pyro_vae.training.staging_error import StagingError

X = torch.linspace(-1.0, 2.0, 6)
NO_SHAPE = torch.Size()
NUMBERS = np.random.default_rng(0)


def model(x: Tensor, mean=lambda x: 0.0, extra=lambda x: None) -> None:
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z + mean(x), 1.0), obs=x)
    extra(x)


def guide(x: Tensor, **_) -> None:
    loc = pyro.param("loc", torch.tensor(0.3))
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(loc + x / 2, 0.7))


def branch(x: Tensor) -> float:
    return 1.0 if x.sum() > 0 else -1.0


class Memory:
    """A program's state in Python."""

    def __init__(self) -> None:
        self.calls = 0
        self.last = None

    def count(self, x: Tensor) -> float:
        self.calls += 1
        return 0.1 * self.calls

    def remember(self, x: Tensor) -> Tensor:
        self.last = x.mean()
        return self.last

    def site(self, x: Tensor) -> None:
        self.calls += 1
        if self.calls % 2:
            pyro.sample("sometimes", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))


def seeded(x: Tensor) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.randn(())


def generated(x: Tensor) -> Tensor:
    return torch.rand((), generator=torch.Generator().manual_seed(1))


#: (how a mean is computed, words of the message)
READS = {
    "a branch": (branch, ["tensor's value is read", "if x.sum() > 0"]),
    "float()": (lambda x: float(x.mean()), ["value is read", "float(x.mean())"]),
    "item": (lambda x: x.max().item() * 2.0, ["value is read", "x.max().item()"]),
    "tolist": (lambda x: x.tolist()[0], ["value is read", "tolist"]),
    "numpy": (lambda x: torch.from_numpy(x.numpy() + 1).mean(), ["value is read", "numpy"]),
    "printing": (lambda x: len(f"{x}"), ["value is read"]),
    "int()": (lambda x: x[: int(x[-1])].sum(), ["value is read", "int(x[-1])"]),
    "a slice": (lambda x: x[: x.argmax()].sum(), ["value is read", "argmax"]),
    "a mask": (lambda x: x[x > 0].mean(), ["shape depends", "x[x > 0]"]),
    "nonzero": (lambda x: x.nonzero().shape[0] * 0.1, ["shape depends", "nonzero"]),
    "random": (lambda x: random.random(), ["two runs differ|outside torch"]),
    "numpy random": (
        lambda x: float(np.random.rand()),  # noqa: NPY002
        ["two runs differ|outside torch"],
    ),
    "the clock": (lambda x: time.perf_counter() % 1.0, ["two runs differ"]),
    "numpy data": (lambda x: torch.as_tensor(NUMBERS.random(2))[0], ["made anew"]),
    "own seed": (seeded, ["seeded them itself"]),
    "own generator": (generated, ["torch.Generator"]),
    "a counter": (Memory().count, ["two runs differ", "'calls' of Memory changes in each"]),
    "kept tensors": (Memory().remember, ["'last' of Memory", "changed by every run"]),
}


def _steps(kind, model, guide, n=4, loss=Trace_ELBO, **options):
    pyro.clear_param_store()
    pyro.set_rng_seed(3)
    svi = kind(model, guide, pyro.optim.SGD({"lr": 1e-3}), loss(), **options)
    return svi, [svi.step(X) for _ in range(n)]


@pytest.mark.parametrize("name", READS)
def test_what_cannot_be_staged_is_named_and_runs_eagerly(name):
    mean, words = READS[name]
    program = functools.partial(model, mean=mean)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        svi, losses = _steps(CompiledSVI, program, guide, backend="none")
    messages = [str(w.message) for w in caught if "CompiledSVI runs eagerly" in str(w.message)]
    assert len(messages) == 1
    for word in words:
        assert any(option in messages[0] for option in word.split("|")), messages[0]
    assert svi.compilations == 0
    if name not in ("random", "numpy random", "numpy data", "the clock", "a counter"):
        assert losses == _steps(SVI, program, guide)[1]  # to the last bit: nothing was disturbed


def test_strict_raises_the_same_message():
    program = functools.partial(model, mean=branch)
    with pytest.raises(StagingError, match=r"value is read in .*if x\.sum\(\) > 0"):
        _steps(CompiledSVI, program, guide, backend="none", strict=True)


def test_the_site_is_named_where_a_read_happens_within_one():
    class Reading(dist.Normal):
        def log_prob(self, value):
            return super().log_prob(value) if value.sum() > -100 else value

        def rsample(self, shape=NO_SHAPE):
            return super().rsample(shape) if self.loc.sum() > -100 else self.loc

    def reading(x: Tensor) -> None:
        loc = pyro.param("loc", torch.tensor(0.3))
        with pyro.plate("data", len(x)):
            pyro.sample("z", Reading(loc + x / 2, 0.7))

    with pytest.raises(StagingError, match="at site 'z'"):
        _steps(CompiledSVI, model, reading, backend="none", strict=True)


def test_a_changing_set_of_sites_is_found():
    program = functools.partial(model, extra=Memory().site)
    with pytest.raises(StagingError, match="two runs differ"):
        _steps(CompiledSVI, program, guide, backend="none", strict=True)


def test_rehearsals_leave_no_trace():
    store = pyro.get_param_store()
    kept = pyro.param("kept", torch.tensor(1.0))
    buffer, state = torch.zeros(2), torch.get_rng_state()

    def run(x):
        store["kept"] = torch.tensor(5.0)
        pyro.param("made", torch.rand(2))
        buffer.add_(x)
        kept.grad = torch.ones(())

    rehearse(run, Call((torch.ones(2),), {}), [kept])
    assert list(store) == ["kept"]
    assert dict(store.named_parameters())["kept"] is kept
    assert store["kept"] == 1 and kept.grad is None
    assert torch.equal(buffer, torch.zeros(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_parameter_that_every_run_replaces_is_found_and_left_as_it_was():
    """The decaying average of TraceGraph_ELBO lives in the param store."""
    infer = {"baseline": {"use_decaying_avg_baseline": True}}

    def model(x: Tensor) -> None:
        b = pyro.sample("b", dist.Bernoulli(0.4))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(b, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        logits = pyro.param("logits", torch.tensor(0.2))
        pyro.sample("b", dist.Bernoulli(logits=logits), infer=infer)

    with pytest.warns(UserWarning, match="param '__baseline_avg_downstream_cost_b' changes"):
        _, losses = _steps(CompiledSVI, model, guide, 12, TraceGraph_ELBO, backend="none")
    assert losses == _steps(SVI, model, guide, 12, TraceGraph_ELBO)[1]


def test_values_that_are_the_same_in_every_run_may_be_read():
    def constant(x: Tensor) -> float:
        table = torch.arange(4.0).cumsum(0)
        return 0.1 * float(table[2]) if table.sum() > 3 else 0.0

    program = functools.partial(model, mean=constant)
    svi, losses = _steps(CompiledSVI, program, guide, backend="none", strict=True)
    assert svi.compilations == 1
    assert losses == pytest.approx(_steps(SVI, program, guide)[1], rel=1e-6)


def test_a_numpy_array_is_read_anew_in_each_step():
    shift = np.zeros(2)
    program = functools.partial(model, mean=lambda x: torch.from_numpy(shift)[0].float())
    svi, losses = _steps(CompiledSVI, program, guide, backend="none", strict=True)
    assert svi.compilations == 1
    shift[0] = 5.0
    assert svi.step(X) > losses[-1] + 20


def test_without_a_compiler_steps_are_eager_and_one_line_says_so(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler was found: install") as caught:
        svi, losses = _steps(CompiledSVI, model, guide)
    assert "\n" not in str(caught[0].message)
    assert svi.compilations == 0
    assert losses == _steps(SVI, model, guide)[1]


def test_a_step_within_other_handlers_is_eager():
    pyro.set_rng_seed(0)
    svi = CompiledSVI(model, guide, pyro.optim.SGD({"lr": 1e-3}), Trace_ELBO(), backend="none")
    for _ in range(3):
        with pyro.poutine.scale(scale=10.0):
            assert svi.step(X) > 30
    assert svi.compilations == 0
