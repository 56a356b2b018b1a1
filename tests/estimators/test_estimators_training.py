"""Estimators in training: discrete sites learn, baselines and temperatures move, steps compile."""

from __future__ import annotations

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from estimator_programs import Classes, coin, normal
from pyro.infer import SVI
from torch import nn

from pyro_vae import fit
from pyro_vae.estimators.base import Learned
from pyro_vae.estimators.choice import ESTIMATORS
from pyro_vae.estimators.discrete import GumbelSoftmax, StraightThrough
from pyro_vae.objectives import ELBO
from pyro_vae.schedules import Linear
from pyro_vae.training.compiled import CompiledSVI


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"pathwise", "stl"}))
def test_trap_05_a_discrete_site_learns(name):
    """Trap 5: where TraceMeanField_ELBO never learns, each of these finds the posterior."""
    estimator = StraightThrough(0.1) if name == "straight-through" else name
    estimator = GumbelSoftmax(Linear(60, 1.0, 0.1)) if name == "gumbel-softmax" else estimator
    model, guide, logit = coin(estimator)
    objective = ELBO(particles=2 if name == "leave-one-out" else 1)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), objective)
    for _ in range(80):
        svi.step(torch.full((2000,), 2.0))
    tolerance = 2e-3 if name == "enumerate" else 0.03
    assert torch.sigmoid(logit).item() == pytest.approx(0.8176, abs=tolerance)


def test_what_a_baseline_learns_is_kept():
    model, guide, _ = coin()
    x = torch.full((50,), 2.0)
    objective = ELBO(estimator=Learned(hidden=(3,)))
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), objective)
    for _ in range(3):
        svi.step(x)
    state = objective.state_dict()
    assert state["baselines.site_b.count"].item() == 3
    before = {name: value.clone() for name, value in state.items()}
    objective.loss(model, guide, x)  # looking changes nothing
    assert all(torch.equal(before[name], v) for name, v in objective.state_dict().items())
    svi.step(x)
    moved = [n for n, v in objective.state_dict().items() if not torch.equal(before[n], v)]
    assert "baselines.site_b.network.layers.0.weight" in moved

    network = nn.Linear(1, 1)
    objective = ELBO(estimator=Learned(network=network))
    SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), objective).step(x)
    assert any(p is network.weight for p in objective.parameters())
    assert network.weight.grad is not None


def test_the_network_learns_what_the_signal_is():
    """The signal depends on x, so what it is compared with must, too."""
    x = torch.linspace(-3.0, 3.0, 100)
    model, guide, logit = coin(Learned(hidden=(16,)))
    objective = ELBO("sampled")
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), objective)
    for _ in range(300):
        logit.data.fill_(-6.0)  # b is 0, so that the signal is all but a function of x
        svi.step(x)
    baseline = objective.baselines["site_b"]
    with torch.no_grad():
        value, _ = baseline(torch.zeros(1, 100), x[:, None])
    exact = dist.Normal(0.0, 1.0).log_prob(x) + torch.tensor(0.5).log()
    assert (value[:, 0] if value.dim() > 1 else value).sub(exact).abs().mean() < 0.3


def test_temperatures_follow_a_schedule():
    model, guide, _ = coin()
    x = torch.full((5,), 2.0)
    objective = ELBO(estimator=GumbelSoftmax(Linear(2, 1.0, 0.2)))
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), objective)
    seen = []
    for _ in range(3):
        svi.step(x)
        seen.append(objective.weights()["temperature"])
    assert seen == pytest.approx([1.0, 0.6, 0.2])

    model, guide, _ = coin(StraightThrough(Linear(2, 1.0, 0.2)))
    objective = ELBO()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), objective)
    for _ in range(2):
        svi.step(x)
    assert objective.weights() == {"temperature_b": pytest.approx(0.6)}


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_steps_compile(name):
    pyro.clear_param_store()
    particles = 2 if name == "leave-one-out" else 1
    x = torch.full((4,), 2.0)
    if name in ("pathwise", "stl"):
        model, guide = normal()
    else:
        model, guide, _ = coin()
    adam = pyro.optim.Adam({"lr": 1e-3})
    objective = ELBO(particles=particles, estimator=name)
    svi = CompiledSVI(model, guide, adam, objective, backend="none", strict=True)
    losses = [svi.step(x) for _ in range(3)]
    assert svi.compilations == 1 and all(torch.isfinite(torch.tensor(losses)))
    if name in ("running-mean", "learned"):
        assert objective.baselines.state_dict()["site_b.count"] == 3


def test_mixed_steps_compile_and_are_the_eager_ones():
    """Enumerated steps draw nothing, so compiled and eager steps agree to the last bit or so."""
    results = []
    for kind in (SVI, partial(CompiledSVI, backend="none", strict=True)):
        pyro.clear_param_store()
        case = Classes(z=False)
        svi = kind(
            case.model, case.guide, pyro.optim.Adam({"lr": 0.01}), ELBO(estimator="enumerate")
        )
        results.append([svi.step(case.x) for _ in range(4)])
    assert results[0] == pytest.approx(results[1], rel=1e-12)


def test_fit_trains_the_baseline_and_resumes_it(tmp_path):
    """What a baseline has learned is part of the checkpoint: a resumed run is the whole run."""
    states = []
    for epochs in ([4], [2, 4]):
        for last in epochs:
            pyro.clear_param_store()
            torch.manual_seed(0)
            case = Classes()
            objective = ELBO(estimator={"y": "learned", "w": "running-mean"})
            options = {"objective": objective, "batch_size": 3, "progress": False}
            where = tmp_path / f"{len(epochs)}.pt"
            resume = {"resume": where} if last != epochs[0] else {}
            fit(
                case.model, case.guide, case.x,
                epochs=last, schedule="constant", checkpoint=where, **resume, **options,
            )  # fmt: skip
        states.append(objective.state_dict())
    assert states[0]["baselines.site_y.count"] == 8
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=0, msg=name)
