"""Schedules: their ends and middles, their units, and the weights that follow them."""

from __future__ import annotations

import math
from itertools import pairwise

import pyro
import pytest
import torch
from penalty_programs import Toy, loss_of, points
from pyro.infer import SVI

from pyro_vae.objectives.beta import BetaELBO
from pyro_vae.objectives.capacity import CapacityELBO
from pyro_vae.schedules import (
    Constant,
    Cosine,
    Cyclical,
    Function,
    Linear,
    Sigmoid,
    Step,
    as_schedule,
)

RAMPS = [Linear, Cosine, Sigmoid]


@pytest.mark.parametrize("ramp", RAMPS)
@pytest.mark.parametrize(("start", "stop"), [(0.0, 1.0), (0.5, 4.0), (3.0, -1.0), (2.0, 2.0)])
def test_ramps_have_exact_ends_and_a_middle(ramp, start, stop):
    schedule = ramp(10, start, stop)
    assert schedule(0) == start and schedule(-3) == start
    assert schedule(10) == stop == schedule(1e9)
    assert schedule(5) == pytest.approx((start + stop) / 2, abs=1e-15)
    # Symmetric about the middle, and on its way all the time.
    for t in (1, 2.5, 4):
        assert schedule(t) + schedule(10 - t) == pytest.approx(start + stop)
    values = [schedule(t / 10) for t in range(101)]
    steps = [b - a for a, b in pairwise(values)]
    assert all(step * (stop - start) >= 0 for step in steps)
    assert schedule.moves and schedule.unit == "step"


def test_ramps_are_their_formulas():
    assert Linear(8)(3) == 3 / 8
    assert Cosine(8)(3) == pytest.approx((1 - math.cos(math.pi * 3 / 8)) / 2)
    low, high = (1 / (1 + math.exp(-u)) for u in (-5.0, 5.0))
    expected = (1 / (1 + math.exp(1.25)) - low) / (high - low)
    assert Sigmoid(8)(3) == pytest.approx(expected)
    # Slow at the ends, fast in the middle.
    assert Linear(8)(1) > Cosine(8)(1) > Sigmoid(8)(1) > 0.0


def test_step():
    schedule = Step(10, 0.25, 4.0)
    assert [schedule(t) for t in (0, 9.99, 10, 1e6)] == [0.25, 0.25, 4.0, 4.0]
    assert [Step(1)(t) for t in (0, 1)] == [0.0, 1.0]


def test_cyclical():
    wave = Cyclical(8, rising=0.25, start=0.5, stop=2.5)
    one = [0.5, 1.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]
    assert [wave(t) for t in range(24)] == one * 3
    ended = Cyclical(8, rising=0.25, cycles=2, start=0.5, stop=2.5)
    assert [ended(t) for t in range(20)] == one * 2 + [2.5] * 4
    always = Cyclical(4, rising=1.0)
    assert [always(t) for t in (0, 1, 3, 3.999, 4)] == [
        0.0,
        0.25,
        0.75,
        pytest.approx(1, abs=1e-3),
        0.0,
    ]


def test_constant_and_function():
    assert [Constant(3)(t) for t in (0, 1e9)] == [3.0, 3.0] and not Constant(3).moves
    assert isinstance(Constant(3)(0), float)
    schedule = Function(lambda t: torch.tensor(2.0) * t, unit="epoch")
    assert schedule(3) == 6.0 and isinstance(schedule(3), float) and schedule.moves


SCHEDULES = [
    lambda unit: Linear(4, unit=unit),
    lambda unit: Cosine(4, unit=unit),
    lambda unit: Sigmoid(4, unit=unit),
    lambda unit: Step(4, unit=unit),
    lambda unit: Cyclical(4, unit=unit),
    lambda unit: Function(math.sqrt, unit=unit),
]


@pytest.mark.parametrize("make", SCHEDULES)
def test_units(make):
    by_step, by_epoch = make("step"), make("epoch")
    for step in (0, 1, 7, 30, 45):
        assert by_step.at(step, None) == by_step(step) == by_step.at(step, 10)
        assert by_epoch.at(step, 10) == by_epoch(step / 10)
    with pytest.raises(ValueError, match=r"in epochs: set objective.steps_per_epoch .*unit='step'"):
        by_epoch.at(3, None)
    with pytest.raises(ValueError, match="unit is 'step' or 'epoch', not 'hour'"):
        make("hour")


@pytest.mark.parametrize("length", [0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Linear, "length"),
        (Cosine, "length"),
        (Sigmoid, "length"),
        (Step, "length"),
        (Cyclical, "period"),
    ],
)
def test_bad_lengths(make, name, length):
    with pytest.raises(ValueError, match=f"{name} is a positive number of steps or epochs"):
        make(length)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rising": 0.0}, "rising is a part of the period"),
        ({"rising": 1.5}, "rising is a part of the period"),
        ({"cycles": 0}, "cycles is a whole number of at least 1"),
    ],
)
def test_bad_cycles(options, message):
    with pytest.raises(ValueError, match=message):
        Cyclical(10, **options)


def test_as_schedule():
    line = Linear(3)
    assert as_schedule(line, "beta") is line
    assert as_schedule(2, "beta")(7) == 2.0
    assert as_schedule(lambda step: step / 2, "beta")(7) == 3.5
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=r"^beta is a finite number"):
            as_schedule(bad, "beta")
    for bad in ("0.5", None, True, [1.0]):
        with pytest.raises(TypeError, match=r"^beta is a number, a schedule or a function"):
            as_schedule(bad, "beta")


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(0.5),
        Linear(3),
        Cosine(3),
        Sigmoid(3),
        Step(2),
        Cyclical(3),
        Function(lambda t: 1.0 / (1.0 + t)),
        lambda step: 0.25 * step,
    ],
    ids=lambda s: type(s).__name__,
)
def test_weights_follow_in_stock_svi(schedule):
    """The first step has the value at 0, each later one the next."""
    toy, x = Toy(), points()
    objective = BetaELBO(schedule)
    svi = SVI(toy.model, toy.guide, pyro.optim.Adam({"lr": 1e-15}), objective)
    for step in range(6):
        pyro.set_rng_seed(3)
        loss = svi.step(x)
        expected = schedule(step)
        assert float(objective.beta) == pytest.approx(expected)
        assert loss == pytest.approx(loss_of(BetaELBO(expected), toy, x).item(), abs=1e-6)
        seen = {} if isinstance(schedule, Constant) else {"beta": pytest.approx(expected)}
        assert objective.weights() == seen
        svi.evaluate_loss(x)  # counts for nothing
    assert int(objective.steps) == 6


def test_epochs_need_their_length_in_stock_svi():
    toy, x = Toy(), points()
    objective = BetaELBO(Linear(2, unit="epoch"))
    svi = SVI(toy.model, toy.guide, pyro.optim.Adam({"lr": 1e-15}), objective)
    with pytest.raises(ValueError, match=r"Linear is in epochs: set objective\.steps_per_epoch"):
        svi.step(x)
    objective = BetaELBO(Linear(2, unit="epoch"))
    objective.steps_per_epoch = 4
    svi = SVI(toy.model, toy.guide, pyro.optim.Adam({"lr": 1e-15}), objective)
    seen = []
    for _ in range(10):
        svi.step(x)
        seen.append(float(objective.beta))
    assert seen == [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.0]


def test_two_weights_each_follow_their_own():
    objective = CapacityELBO(Step(2, 1.0, 9.0), Linear(4, 0.0, 8.0))
    for step, expected in enumerate([(1.0, 0.0), (1.0, 2.0), (9.0, 4.0), (9.0, 6.0), (9.0, 8.0)]):
        objective.advance(step)
        assert objective.weights() == dict(zip(("gamma", "capacity"), expected, strict=True))


def test_weights_are_tensors_that_change_in_place():
    """So that a compiled step sees them change."""
    objective = BetaELBO(Linear(4))
    beta = objective.beta
    assert beta.dtype == torch.float64 and beta.dim() == 0 and "beta" in objective.state_dict()
    objective.advance(3)
    assert objective.beta is beta and float(beta) == 0.75


def test_a_resumed_run_goes_on():
    toy, x = Toy(), points()
    objective = BetaELBO(Linear(4))
    svi = SVI(toy.model, toy.guide, pyro.optim.Adam({"lr": 1e-15}), objective)
    for _ in range(3):
        svi.step(x)
    other = BetaELBO(Linear(4))
    other.load_state_dict(objective.state_dict())
    SVI(toy.model, toy.guide, pyro.optim.Adam({"lr": 1e-15}), other).step(x)
    assert float(other.beta) == 0.75 and int(other.steps) == 4
