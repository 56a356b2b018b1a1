"""Programs reach stock Pyro's optimisers, each instance by names of its own."""

from __future__ import annotations

import copy
import gc

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import binary, ours
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import nn
from torch.func import functional_call

from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, Program, vae


def snapshot(*modules: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for module in modules for p in module.parameters()]


def moved(before: list[torch.Tensor], *modules: nn.Module) -> int:
    """How many parameters differ from their snapshot."""
    return sum(
        not torch.equal(old, new) for old, new in zip(before, snapshot(*modules), strict=True)
    )


def train(model, guide, x, steps: int = 2, lr: float = 0.01) -> None:
    svi = SVI(model, guide, pyro.optim.Adam({"lr": lr}), Trace_ELBO())
    for _ in range(steps):
        svi.step(x)


def stored() -> dict[str, torch.Tensor]:
    return dict(pyro.get_param_store().named_parameters())


@pytest.mark.parametrize("loss", [Trace_ELBO, TraceMeanField_ELBO])
def test_every_parameter_reaches_stock_svi(loss):
    case = ours("normal")
    before = snapshot(case.model, case.guide)
    svi = SVI(case.model, case.guide, pyro.optim.Adam({"lr": 0.01}), loss())
    svi.step(*case.args)
    assert moved(before, case.model, case.guide) == len(before) == 9
    # The store holds the modules' own tensors, so nothing is ever copied back.
    tensors = {id(p) for m in (case.model, case.guide) for p in m.parameters()}
    assert {id(tensor) for tensor in stored().values()} == tensors


def test_the_first_step_of_adam_is_the_learning_rate():
    # Adam's first step is lr * sign(gradient), so a parameter stepped twice would move 2 lr.
    case = ours()
    before = snapshot(case.model, case.guide)
    train(case.model, case.guide, *case.args, steps=1, lr=0.01)
    for old, new in zip(before, snapshot(case.model, case.guide), strict=True):
        step = (new - old).abs()
        torch.testing.assert_close(step[step > 0], torch.full_like(step[step > 0], 0.01))


def naive_pair() -> tuple[nn.ModuleList, object, object]:
    """What a notebook cell defines: `pyro.module` under fixed names."""
    encoder, decoder = MLP(6, 4, [4]), MLP(2, 6, [4])

    def model(x):
        pyro.module("decoder", decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x):
        pyro.module("encoder", encoder)
        with pyro.plate("data", len(x)):
            loc, raw = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    return nn.ModuleList([encoder, decoder]), model, guide


def test_two_models_in_one_process_train_independently():
    x = binary()
    # The naive way, the cell run twice: the second pair never trains, and nobody says so.
    (first, *programs), (second, *again) = naive_pair(), naive_pair()
    train(*programs, x)
    before = snapshot(second), snapshot(first)
    train(*again, x)
    assert moved(before[0], second) == 0
    assert len(before[0]) == 8

    one, two = ours(), ours()
    train(one.model, one.guide, x)
    before = snapshot(two.model, two.guide), snapshot(one.model, one.guide)
    train(two.model, two.guide, x)
    assert moved(before[0], two.model, two.guide) == len(before[0]) == 8
    assert moved(before[1], one.model, one.guide) == 0


def test_a_deep_copy_trains_apart():
    case = ours()
    train(case.model, case.guide, *case.args)
    model, guide = copy.deepcopy(case.model), copy.deepcopy(case.guide)
    before = snapshot(case.model, case.guide), snapshot(model, guide)
    assert all(torch.equal(a, b) for a, b in zip(*before, strict=True))
    train(model, guide, *case.args)
    assert moved(before[1], model, guide) == 8
    assert moved(before[0], case.model, case.guide) == 0
    assert len(stored()) == 16


def test_frozen_parameters_stay_and_stay_frozen():
    case = ours()
    case.model.requires_grad_(False)
    before = snapshot(case.model), snapshot(case.guide)
    train(case.model, case.guide, *case.args)
    assert moved(before[0], case.model) == 0
    assert moved(before[1], case.guide) == 4
    assert not any(p.requires_grad for p in case.model.parameters())
    assert len(stored()) == 4
    # Thawed, they train; frozen after they were registered, they stay again.
    case.model.requires_grad_(True)
    train(case.model, case.guide, *case.args)
    assert moved(before[0], case.model) == 4
    case.model.requires_grad_(False)
    before = snapshot(case.model)
    train(case.model, case.guide, *case.args)
    assert moved(before, case.model) == 0


class MixturePrior(nn.Module):
    """A prior made of the guide's own posterior at learned inputs."""

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior
        self.inputs = nn.Parameter(torch.rand(3, 6))

    def forward(self):
        return dist.MixtureSameFamily(dist.Categorical(torch.ones(3)), self.posterior(self.inputs))


def test_tensors_that_model_and_guide_share_are_registered_once():
    posterior = DiagonalNormal(MLP(6, 4, [4]))
    model = vae.Model(MixturePrior(posterior), Bernoulli(MLP(2, 6, [4])))
    guide = vae.Guide(posterior)
    before = snapshot(model)
    train(model, guide, binary(), steps=1, lr=0.01)
    names = list(stored())
    assert len(names) == len({id(t) for t in stored().values()}) == 4 + 1 + 4
    assert sum(name.startswith("Guide") for name in names) == 4, "the guide is run first"
    # Registered twice, a shared tensor would get two steps.
    for old, new in zip(before, snapshot(model), strict=True):
        assert (new - old).abs().max() == pytest.approx(0.01, rel=1e-3)
    # The names that another program still uses are taken up by it when the first goes.
    del guide
    gc.collect()
    other = vae.Guide(posterior)
    train(model, other, binary(), steps=1)
    assert len(stored()) == len({id(t) for t in stored().values()}) == 9


def test_assigned_tensors_train():
    case = ours()
    train(case.model, case.guide, *case.args)
    state = {name: value.clone() for name, value in case.model.state_dict().items()}
    case.model.load_state_dict(state, assign=True)
    before = snapshot(case.model)
    train(case.model, case.guide, *case.args)
    assert moved(before, case.model) == 4
    assert {id(t) for t in stored().values()} >= {id(p) for p in case.model.parameters()}
    assert len(stored()) == 8


def test_a_copied_state_trains_on():
    case, other = ours(), ours("bernoulli")
    train(case.model, case.guide, *case.args)
    other.model.load_state_dict(case.model.state_dict())
    before = snapshot(other.model)
    train(other.model, other.guide, *other.args)
    assert moved(before, other.model) == 4


def test_the_names_go_with_the_program():
    pyro.param("mine", torch.zeros(2))
    case, other = ours(), ours()
    train(case.model, case.guide, *case.args)
    train(other.model, other.guide, *other.args)
    kept = {id(p) for p in other.guide.parameters()} | {id(p) for p in other.model.parameters()}
    assert len(stored()) == 17
    del case
    gc.collect()
    left = stored()
    assert {id(t) for name, t in left.items() if name != "mine"} == kept
    del other, left
    gc.collect()
    assert list(stored()) == ["mine"]


def test_a_cleared_store_is_filled_again():
    case = ours()
    train(case.model, case.guide, *case.args)
    pyro.clear_param_store()
    before = snapshot(case.model, case.guide)
    train(case.model, case.guide, *case.args)
    assert moved(before, case.model, case.guide) == 8


def test_a_scoped_store_trains_too_and_leaves_nothing():
    case = ours()
    before = snapshot(case.model, case.guide)
    with pyro.get_param_store().scope():
        train(case.model, case.guide, *case.args)
    assert moved(before, case.model, case.guide) == 8
    assert not stored()


def test_functional_call_uses_other_tensors_and_leaves_the_store_alone():
    case = ours()
    train(case.model, case.guide, *case.args)
    names = stored()
    zeros = {
        name: torch.zeros_like(p, requires_grad=True) for name, p in case.model.named_parameters()
    }
    with poutine.trace() as tracer:
        functional_call(case.model, zeros, case.args)
    logits = tracer.trace.nodes["x"]["fn"].base_dist.logits
    assert torch.equal(logits, torch.zeros_like(logits))
    assert {k: id(v) for k, v in stored().items()} == {k: id(v) for k, v in names.items()}
    before = snapshot(case.model)
    train(case.model, case.guide, *case.args)
    assert moved(before, case.model) == 4


def test_a_call_outside_inference_leaves_the_store_alone():
    case = ours()
    case.model(*case.args)
    case.guide(*case.args)
    case.model.prior()
    assert not stored()


def test_to_float64_before_and_after_training():
    case = ours("normal").double()
    pair = VAE(case.model, case.guide).to(torch.float64)
    before = snapshot(pair)
    train(*pair, *case.args)
    assert moved(before, pair) == 9
    assert {t.dtype for t in stored().values()} == {torch.float64}
    pair.to(torch.float32)
    x = case.args[0].float()
    before = snapshot(pair)
    train(*pair, x)
    assert moved(before, pair) == 9
    assert {t.dtype for t in stored().values()} == {torch.float32}


def test_a_pair_is_its_two_programs_and_their_state():
    case, other = ours(), ours("bernoulli")
    train(case.model, case.guide, *case.args)
    pair = VAE(case.model, case.guide)
    assert list(pair) == [case.model, case.guide]
    VAE(other.model, other.guide).load_state_dict(pair.state_dict())
    assert moved(snapshot(pair), other.model, other.guide) == 0


class Mine(Program):
    """A program of the user's own: parameters of its own besides those of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(6))
        self.decoder = nn.Linear(2, 6)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample(
                "x", dist.Bernoulli(logits=self.logits + self.decoder(z)).to_event(1), obs=x
            )


def test_a_program_of_ones_own_has_nothing_to_register():
    model, guide = Mine(), vae.Guide(DiagonalNormal(MLP(6, 4, [4])))
    before = snapshot(model, guide)
    train(model, guide, binary())
    assert moved(before, model, guide) == 7
    assert StandardNormal(2).state_dict() == {}, "constants are not part of what is saved"


def test_two_adams_of_two_rates_by_name():
    # Names in the store begin with the class, so per-parameter options can tell theta from phi.
    case = ours()
    before = snapshot(case.model), snapshot(case.guide)

    def options(name: str) -> dict[str, float]:
        return {"lr": 0.0 if name.startswith("Model") else 0.01}

    svi = SVI(case.model, case.guide, pyro.optim.Adam(options), Trace_ELBO())
    svi.step(*case.args)
    assert moved(before[0], case.model) == 0
    assert moved(before[1], case.guide) == 4
