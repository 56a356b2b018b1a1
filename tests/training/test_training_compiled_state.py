"""What programs read may change between steps: tensors are seen, numbers are compiled anew."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from pyro_vae.training.compiled import CompiledSVI

X = torch.linspace(-1.0, 2.0, 6)
BETA = 1.0


class Settings:
    beta = 1.0


class Half:
    __slots__ = ("beta",)

    def __init__(self) -> None:
        self.beta = 1.0


def _programs(weight):
    """A KL weighted by ``weight()``, read anew in each run; no random numbers in the loss."""

    def model(x: Tensor, *_, **__) -> None:
        with pyro.plate("data", len(x)):
            with poutine.scale(scale=weight()):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(0.0 * z, 1.0), obs=x)

    def guide(x: Tensor, *_, **__) -> None:
        loc = pyro.param("loc", torch.tensor(0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Delta(loc.expand(len(x))))

    return model, guide


def _step_pair(model, guide):
    """One step of SVI and of its compiled twin, from the same values."""
    optim = functools.partial(pyro.optim.SGD, {"lr": 1e-2})
    svi = SVI(model, guide, optim(), Trace_ELBO())
    compiled = CompiledSVI(model, guide, optim(), Trace_ELBO(), backend="none")
    store = pyro.get_param_store()

    def both(*args, **kwargs):
        before = store["loc"].detach().clone() if "loc" in store else torch.tensor(0.5)
        expected = svi.step(*args, **kwargs)
        after = store["loc"].detach().clone()
        with torch.no_grad():
            store["loc"].copy_(before)
        assert compiled.step(*args, **kwargs) == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(store["loc"].detach(), after)
        return expected

    return both, compiled


def _set_global(value):
    global BETA
    BETA = value


def _holders():
    cell = 1.0

    def closure():
        return cell

    def set_cell(value):
        nonlocal cell
        cell = value

    module, plain, half = nn.Linear(1, 1), SimpleNamespace(beta=1.0), Half()
    module.beta, table, items = 1.0, {"beta": 1.0}, [1.0]
    default = functools.partial(lambda beta: beta, beta=1.0)
    return {
        "a global": (lambda: BETA, _set_global),
        "a closure": (closure, set_cell),
        "a module": (lambda: module.beta, lambda v: setattr(module, "beta", v)),
        "a class": (lambda: Settings.beta, lambda v: setattr(Settings, "beta", v)),
        "slots": (lambda: half.beta, lambda v: setattr(half, "beta", v)),
        "a dict": (lambda: table["beta"], lambda v: table.update(beta=v)),
        "a list": (lambda: items[0], lambda v: items.__setitem__(0, v)),
        "a partial": (default, lambda v: default.keywords.update(beta=v)),
        "a namespace": (lambda: plain.beta, lambda v: setattr(plain, "beta", v)),
    }


@pytest.mark.parametrize("name", _holders())
def test_a_number_that_changes_is_compiled_anew(name):
    weight, change = _holders()[name]
    change(1.0)
    both, compiled = _step_pair(*_programs(weight))
    first = [both(X) for _ in range(3)][-1]
    assert compiled.compilations == 1
    change(7.0)
    second = [both(X) for _ in range(3)][-1]
    assert second > first + 2
    assert compiled.compilations == 2
    change(1.0)  # the first one is still there
    both(X)
    assert compiled.compilations == 2
    change(1.0)


def test_a_number_that_keeps_changing_is_named_once_and_stays_eager():
    table = {"beta": 1.0}
    both, compiled = _step_pair(*_programs(lambda: table["beta"]))
    with pytest.warns(
        UserWarning, match=r"'beta' of 'table' in .* changes between steps.*fill_"
    ) as seen:
        for i in range(20):
            table["beta"] = 1.0 + i
            both(X)
    assert len(seen) == 1
    assert compiled.compilations == 0


def test_a_weight_in_a_tensor_changes_without_compiling_anew():
    beta = torch.tensor(1.0)
    both, compiled = _step_pair(*_programs(lambda: beta))
    losses = []
    for i in range(6):
        beta.fill_(1.0 + i)
        losses.append(both(X))
    assert losses == sorted(losses)
    assert compiled.compilations == 1


def test_what_a_run_writes_and_reads_again_is_not_taken_for_a_constant():
    table = {}

    def model(x, beta):
        table["beta"] = beta
        return programs[0](x)

    programs = _programs(lambda: table["beta"])
    both, compiled = _step_pair(model, lambda x, beta: programs[1](x))
    for i in range(5):
        both(X, 1.0 + i)
    assert compiled.compilations == 0


def test_annealing_by_an_argument():
    def model(x, beta):
        with pyro.plate("data", len(x)), poutine.scale(scale=beta):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    programs = _programs(lambda: 1.0)
    both, compiled = _step_pair(model, lambda x, beta: programs[1](x))
    losses = [both(X, 1.0 + i) for i in range(5)]
    assert losses == sorted(losses)
    assert compiled.compilations == 1


def test_a_number_that_python_compares_is_part_of_the_key_instead():
    def model(x, beta):
        with pyro.plate("data", len(x)), poutine.scale(scale=beta if beta > 0 else 1e-3):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    programs = _programs(lambda: 1.0)
    both, compiled = _step_pair(model, lambda x, beta: programs[1](x))
    for beta in (1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0):
        both(X, beta)
    assert compiled.compilations == 2


def test_shapes_types_and_flags_are_compiled_each():
    both, compiled = _step_pair(*_programs(lambda: 1.0))
    for x in (X, X, X[:3], X[:3], X[::2], X[::2], X.double(), X.double()):
        both(x)
    assert compiled.compilations == 4  # X[::2] has another stride
    for flag in (True, True, False, False):
        both(X, flag=flag)
    assert compiled.compilations == 6


def test_a_shape_that_is_met_once_is_not_compiled():
    both, compiled = _step_pair(*_programs(lambda: 1.0))
    for n in range(1, 7):
        both(X[:n])
    assert compiled.compilations == 0


def test_training_and_evaluation_mode_are_compiled_each():
    dropout = nn.Dropout(0.5)

    def weight():
        return 2.0 if dropout.training else 1.0

    both, compiled = _step_pair(*_programs(weight))
    for mode in (True, True, False, False, True, False):
        dropout.train(mode)
        both(X)
    assert compiled.compilations == 2


def test_a_frozen_parameter_is_seen():
    net = nn.Linear(1, 1)

    def weight():
        return net(torch.ones(1)).pow(2).sum() + 0.1

    model, guide = _programs(weight)

    def with_net(x):
        pyro.module("net", net)
        return model(x)

    svi = CompiledSVI(with_net, guide, pyro.optim.SGD({"lr": 1e-2}), Trace_ELBO(), backend="none")
    for frozen in (False, False, True, True, True):
        net.requires_grad_(not frozen).train(not frozen)
        before = net.weight.detach().clone()
        svi.step(X)
        assert torch.equal(net.weight.detach(), before) == frozen


def test_tensors_that_are_changed_or_exchanged_are_seen():
    holder = nn.Module()
    holder.register_buffer("scale", torch.tensor(1.0))
    both, compiled = _step_pair(*_programs(lambda: holder.scale))
    for _ in range(3):
        both(X)
    holder.scale.fill_(3.0)
    both(X)
    assert compiled.compilations == 1
    holder.scale = torch.tensor(5.0)
    for _ in range(3):
        both(X)
    assert compiled.compilations == 2
    holder.load_state_dict({"scale": torch.tensor(0.5)})
    both(X)
    assert compiled.compilations == 2


def test_the_param_store_may_be_filled_anew():
    both, compiled = _step_pair(*_programs(lambda: 1.0))
    for _ in range(3):
        both(X)
    store = pyro.get_param_store()
    state = store.get_state()
    pyro.clear_param_store()
    pyro.param("loc", torch.tensor(-2.0))
    for _ in range(3):
        both(X)
    assert compiled.compilations == 2
    pyro.clear_param_store()
    store.set_state(state)
    both(X)
    assert compiled.compilations == 2
