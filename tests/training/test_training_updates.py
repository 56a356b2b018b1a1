"""A compiled step updates as the optimiser itself does, and keeps its state."""

from __future__ import annotations

import functools

import pyro
import pytest
import torch
from compiled_cases import BARE
from pyro.infer import SVI, Trace_ELBO
from torch import nn

from pyro_vae.training.compiled import CompiledSVI
from pyro_vae.training.owners import JointOwner, PyroOwner
from pyro_vae.training.updates import Updates

torch_adam = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.02}}

#: (the optimiser, whether its updates are fused)
OPTIMIZERS = {
    "Adam": (lambda: pyro.optim.Adam({"lr": 0.02}), True),
    "Adam, amsgrad": (lambda: pyro.optim.Adam({"lr": 0.02, "amsgrad": True}), True),
    "Adam, betas": (lambda: pyro.optim.Adam({"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}), True),
    "Adam, decay": (lambda: pyro.optim.Adam({"lr": 0.02, "weight_decay": 0.3}), True),
    "AdamW": (lambda: pyro.optim.AdamW({"lr": 0.02, "weight_decay": 0.3}), True),
    "ClippedAdam": (
        lambda: pyro.optim.ClippedAdam({"lr": 0.05, "clip_norm": 0.2, "lrd": 0.98, "eps": 1e-2}),
        True,
    ),
    "ClippedAdam, centered": (
        lambda: pyro.optim.ClippedAdam({"lr": 0.02, "centered_variance": True}),
        False,
    ),
    "by parameter": (lambda: pyro.optim.Adam(lambda name: {"lr": 0.1 / len(name)}), True),
    "clip_args": (lambda: pyro.optim.Adam({"lr": 0.02}, {"clip_norm": 0.5}), False),
    "SGD": (lambda: pyro.optim.SGD({"lr": 1e-3, "momentum": 0.9}), False),
    "RMSprop": (lambda: pyro.optim.RMSprop({"lr": 1e-3}), False),
    "ExponentialLR": (lambda: pyro.optim.ExponentialLR({**torch_adam, "gamma": 0.9}), True),
    "a torch optimizer": (lambda: functools.partial(torch.optim.Adam, lr=0.02), True),
}


def _train(kind, optim, steps=25, **options):
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    case = BARE["positive"]()
    made = optim()
    if kind is SVI and not isinstance(made, pyro.optim.PyroOptim):
        made = pyro.optim.Adam({"lr": 0.02})
    svi = kind(case.model, case.guide, made, Trace_ELBO(), **options)
    for _ in range(steps):
        svi.step(*case.args)
        if isinstance(made, pyro.optim.PyroOptim) and hasattr(made, "pt_scheduler_constructor"):
            made.step()
    return svi, {k: v.detach().clone() for k, v in pyro.get_param_store().items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_the_optimizer(name):
    make, fused = OPTIMIZERS[name]
    svi, values = _train(CompiledSVI, make, backend="none", strict=True)
    _, references = _train(SVI, make)
    for key, value in values.items():
        torch.testing.assert_close(value, references[key], rtol=2e-5, atol=2e-5)
    entries = [entry for entries in svi._step._entries.values() for entry in entries]
    assert [bool(entry._finish._groups) for entry in entries] == [fused]


def test_the_state_is_the_optimizers_own():
    """Saved after compiled steps, it goes on in stock SVI."""
    make = OPTIMIZERS["Adam"][0]
    svi, _ = _train(CompiledSVI, make, 10, backend="none")
    state = svi.optim.get_state()
    stock, _ = _train(SVI, make, 10)
    for name, expected in stock.optim.get_state().items():
        for key, value in expected["state"][0].items():
            torch.testing.assert_close(state[name]["state"][0][key], value, rtol=1e-4, atol=1e-6)
    assert all(entry["state"][0]["step"] == 10 for entry in state.values())


def _updated(options, gradients, reached=(True, True)):
    leaves = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    optimizer = torch.optim.Adam(leaves, **options)
    for leaf in leaves:
        leaf.grad = torch.ones_like(leaf)
    optimizer.step()
    return leaves, optimizer, Updates(JointOwner(optimizer), leaves, reached), gradients


def test_options_are_read_anew():
    gradients = [torch.ones(2), torch.ones(3)]
    leaves, optimizer, updates, _ = _updated({"lr": 0.1}, gradients)
    assert updates.prepare() is False
    updates(gradients)
    assert updates.prepare() is True
    before = leaves[0].detach().clone()
    optimizer.param_groups[0]["lr"] = 0.0  # as schedulers do
    updates.prepare()
    updates(gradients)
    assert torch.equal(leaves[0], before)


def test_a_state_that_is_loaded_is_used():
    gradients = [torch.ones(2), torch.ones(3)]
    leaves, optimizer, updates, _ = _updated({"lr": 0.1}, gradients)
    saved = optimizer.state_dict()
    updates.prepare()
    for _ in range(3):
        updates(gradients)
    optimizer.load_state_dict(saved)
    assert updates.prepare() is False
    fresh = optimizer.state[leaves[0]]["exp_avg"]
    before = fresh.clone()
    updates(gradients)
    assert not torch.equal(fresh, before)


def test_a_parameter_without_a_gradient_stays_where_it_has_none_and_moves_by_momentum_where_zeros():
    for gradient, moved in ((None, False), (torch.zeros(3), True)):
        leaves, _, updates, given = _updated({"lr": 0.1}, [torch.ones(2), None], (True, False))
        leaves[1].grad = gradient
        before = leaves[1].detach().clone()
        updates.prepare()
        updates(given)
        assert torch.equal(leaves[1], before) != moved


def test_hooks_of_an_optimizer_are_called():
    gradients = [torch.ones(2), torch.ones(3)]
    _, optimizer, updates, _ = _updated({"lr": 0.1}, gradients)
    called = []
    optimizer.register_step_post_hook(lambda *_: called.append(True))
    updates.prepare()
    updates(gradients)
    assert called == [True]


def test_pyro_owns_nothing_that_it_has_not_stepped():
    leaf = torch.zeros(2, requires_grad=True)
    assert PyroOwner(pyro.optim.Adam({})).of(leaf) is None
