"""The optimiser of theta and phi: rates where one expects them, nothing silently left out."""

from __future__ import annotations

import math
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import nn
from training_programs import ours, real, same, trained

from pyro_vae import fit
from pyro_vae.training.optimizer import clip_gradients, make_optimizer
from pyro_vae.training.schedule import go_to_step, make_schedule, schedule_factors


@pytest.fixture
def weights() -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    return [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))], [nn.Parameter(torch.ones(4))]


def rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


def fit_ours(pair: Any, **options: Any):
    return fit(*pair, real(), batch_size=20, progress=False, **{"epochs": 2, **options})


@pytest.mark.parametrize(
    ("optim", "lr", "lr_guide", "wanted"),
    [
        (None, None, None, (2e-3, 2e-3)),
        (None, 0.1, None, (0.1, 0.1)),
        (None, 0.1, 0.3, (0.1, 0.3)),
        (None, None, 0.3, (2e-3, 0.3)),
        (torch.optim.SGD, 0.1, None, (0.1, 0.1)),
        (torch.optim.Adam, None, None, (1e-3, 1e-3)),  # torch's own default
        (lambda g: torch.optim.RMSprop(g, lr=0.7), None, None, (0.7, 0.7)),
        (lambda g: torch.optim.RMSprop(g, lr=0.7), 0.2, None, (0.2, 0.2)),
        (lambda g: torch.optim.RMSprop(g, lr=0.7), None, 0.2, (0.7, 0.2)),
        (pyro.optim.Adam({"lr": 0.4}), None, None, (0.4, 0.4)),
        (pyro.optim.Adam({"lr": 0.4}), 0.1, 0.2, (0.1, 0.2)),
        (pyro.optim.Adam({}), None, None, (1e-3, 1e-3)),
        (pyro.optim.ClippedAdam({"lr": 0.4, "clip_norm": 5.0}), None, None, (0.4, 0.4)),
    ],
)
def test_each_group_has_the_rate_that_was_asked_for(weights, optim, lr, lr_guide, wanted):
    optimizer = make_optimizer(*weights, optim, lr, lr_guide)
    assert rates(optimizer) == {"theta": wanted[0], "phi": wanted[1]}
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 1]


@pytest.mark.parametrize(
    ("optim", "kind"),
    [
        (None, torch.optim.Adam),
        (torch.optim.AdamW, torch.optim.AdamW),
        (lambda groups: torch.optim.SGD(groups, momentum=0.9), torch.optim.SGD),
        (pyro.optim.Adam({"lr": 0.1, "betas": (0.8, 0.99)}), torch.optim.Adam),
        (pyro.optim.ClippedAdam({"lr": 0.1}), pyro.optim.clipped_adam.ClippedAdam),
    ],
)
def test_the_optimiser_is_of_the_kind_that_was_asked_for(weights, optim, kind):
    assert type(make_optimizer(*weights, optim)) is kind


def test_options_of_a_pyro_optimiser_are_kept(weights):
    optimizer = make_optimizer(*weights, pyro.optim.Adam({"lr": 0.1, "betas": (0.8, 0.99)}))
    assert optimizer.defaults["betas"] == (0.8, 0.99)
    options = {"lr": 0.1, "clip_norm": 0.5}
    optimizer = make_optimizer(*weights, pyro.optim.ClippedAdam(options))
    assert {group["clip_norm"] for group in optimizer.param_groups} == {0.5}
    assert options == {"lr": 0.1, "clip_norm": 0.5}  # the caller's own dict


@pytest.mark.parametrize(
    "optim",
    [
        None,
        torch.optim.SGD,
        torch.optim.Adagrad,
        lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=0.9),
        pyro.optim.Adam({"lr": 1e-3}),
        pyro.optim.ClippedAdam({"lr": 1e-3, "clip_norm": 5.0}),
        pyro.optim.DCTAdam({"lr": 1e-3}),
    ],
)
def test_fit_trains_with_it(optim):
    pair = ours()
    before = trained(pair)
    fit_ours(pair, optim=optim)
    after = trained(pair)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert all(value.isfinite().all() for value in after.values())


def test_a_part_without_parameters_has_no_group(weights):
    theta, phi = weights
    assert list(rates(make_optimizer(theta, []))) == ["theta"]
    assert list(rates(make_optimizer([], phi, lr_guide=0.3))) == ["phi"]


def test_tied_weights_are_optimised_once(weights):
    theta, phi = weights
    optimizer = make_optimizer([*theta, theta[0]], phi)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 1]


@pytest.mark.parametrize(
    ("optim", "error", "line"),
    [
        ("Adam", TypeError, r"^optim is a function from parameter groups .* not 'Adam'$"),
        (lambda groups: groups, TypeError, r"^optim is a function from parameter groups"),
        (
            torch.optim.SGD([nn.Parameter(torch.ones(1))]),
            TypeError,
            r"such as torch.optim.Adam or lambda groups: .*, not SGD \($",
        ),
        (
            lambda groups: torch.optim.SGD(groups[:1]),
            ValueError,
            r"^the optimiser that optim makes leaves out 1 trainable tensors: give it all groups",
        ),
        (
            pyro.optim.Adam(lambda name: {"lr": 0.1}),
            ValueError,
            r"one dict of options; for options by parameter give optim=lambda groups: .* clip_norm",
        ),
        (pyro.optim.Adam({"lr": 0.1}, {"clip_norm": 5.0}), ValueError, "for clipping give clip_n"),
        (
            pyro.optim.ExponentialLR(
                {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}, "gamma": 0.1}
            ),
            ValueError,
            "for a decay of the learning rate give schedule",
        ),
        (pyro.optim.AdagradRMSProp({}), ValueError, "has no learning rate named lr, which fit"),
        (
            pyro.optim.ClippedAdam({"lr": 0.1, "lrd": 0.99}),
            ValueError,
            r"^lrd=0.99 of .* would be overridden by the schedule of fit: leave it out",
        ),
    ],
)
def test_what_is_no_optimiser_or_would_be_half_obeyed_is_refused(weights, optim, error, line):
    with pytest.raises(error, match=line):
        make_optimizer(*weights, optim)


# -- rates over the run ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("linear", [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ("cosine", [0.5 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]),
        (lambda done: 0.1**done, [0.1 ** (k / 6) for k in range(6)]),
    ],
)
def test_each_step_is_taken_at_the_rate_of_the_schedule(schedule, factors):
    """SGD moves a constant gradient's weight by exactly the rate."""
    taken: list[tuple[float, float]] = []

    class Watch(torch.optim.SGD):
        def step(self, closure=None):
            taken.append(tuple(group["lr"] for group in self.param_groups))
            return super().step(closure)

    history = fit_ours(ours(), optim=Watch, lr=1e-3, lr_guide=1e-4, schedule=schedule)
    assert [rate for rate, _ in taken] == pytest.approx([1e-3 * f for f in factors])
    assert [rate for _, rate in taken] == pytest.approx([1e-4 * f for f in factors])
    # A row says at which rate the run goes on.
    last = 1e-3 * schedule_factors(schedule)[-1]
    assert history["lr"] == pytest.approx([1e-3 * factors[3], last])
    assert history["lr_guide"] == pytest.approx([1e-4 * factors[3], last / 10])


def test_the_rate_of_the_guide_moves_the_guide():
    pair, other = ours(), ours()
    fit_ours(pair, lr=1e-3, schedule="constant", epochs=1)
    fit_ours(other, lr=1e-3, lr_guide=1e-12, schedule="constant", epochs=1)
    start = trained(ours())
    moved = [
        {
            role: max((after[k] - start[k]).abs().max().item() for k in start if k.startswith(role))
            for role in ("model", "guide")
        }
        for after in (trained(pair), trained(other))
    ]
    assert moved[0]["guide"] > 1e-3 and moved[0]["model"] > 1e-3
    assert moved[1]["guide"] < 1e-9 and moved[1]["model"] > 1e-3


def test_clip_norm_is_obeyed():
    """SGD at rate 1 moves the weights by the gradient, at most 0.01 long in each of 6 steps."""
    pair = ours()
    start = trained(pair)
    fit_ours(pair, optim=torch.optim.SGD, lr=1.0, clip_norm=0.01, schedule="constant")
    after = trained(pair)
    moved = torch.cat([(after[k] - start[k]).flatten() for k in start]).norm().item()
    assert 0.02 < moved < 6 * 0.01 + 1e-6


def test_clip_gradients_leaves_directions(weights):
    optimizer = make_optimizer(*weights, torch.optim.SGD)
    for p in (*weights[0], *weights[1]):
        p.grad = torch.full_like(p, 2.0)
    assert clip_gradients(optimizer, 3.0).item() == pytest.approx(6.0)
    assert weights[0][0].grad.tolist() == pytest.approx([1.0, 1.0])


def test_going_to_a_step_is_the_same_as_taking_the_steps(weights):
    def schedule():
        return make_schedule(make_optimizer(*weights, torch.optim.SGD, 0.3, 0.1), "cosine", 9)

    walked, gone = schedule(), schedule()
    for _ in range(5):
        walked.optimizer.step()
        walked.step()
    go_to_step(gone, 5)
    assert rates(gone.optimizer) == rates(walked.optimizer)
    assert gone.get_last_lr() == walked.get_last_lr()
    for one in (walked, gone):
        one.optimizer.step()
        one.step()
    assert rates(gone.optimizer) == rates(walked.optimizer)


@pytest.mark.parametrize(
    ("schedule", "line"),
    [
        ("cosin", r"^schedule is one of 'constant', 'cosine', 'linear', or a function, not 'cosin"),
        (None, r"or a function, not None$"),
        (["cosine"], r"or a function, not \['cosine'\]$"),
        (lambda done: 1 - 2 * done, r"^schedule must give a factor of at least 0, not -0.5$"),
        (lambda done: math.nan, r"at least 0, not nan$"),
        (lambda done: "fast", r"at least 0, not 'fast'$"),
    ],
)
def test_what_is_no_schedule_is_refused(weights, schedule, line):
    with pytest.raises(ValueError, match=line):
        make_schedule(make_optimizer(*weights), schedule, 10)


def test_equal_seeds_and_optimisers_give_equal_weights_whatever_way_they_are_named():
    weights = []
    for optim, lr in (
        (torch.optim.SGD, 1e-3),
        (lambda groups: torch.optim.SGD(groups, lr=1e-3), None),
        (pyro.optim.SGD({"lr": 1e-3}), None),
    ):
        pair = ours()
        fit_ours(pair, optim=optim, lr=lr)
        weights.append(trained(pair))
    assert same(weights[0], weights[1]) and same(weights[0], weights[2])


def test_handlers_around_the_programs_do_not_hide_their_parameters():
    model, guide = ours()
    before = trained((model, guide))
    fit_ours((poutine.scale(model, scale=0.5), poutine.scale(guide, scale=0.5)))
    after = trained((model, guide))
    assert all(not torch.equal(before[name], after[name]) for name in before)
