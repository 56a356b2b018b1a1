"""Joint, alternating and aggressive optimisation of theta and phi."""

from __future__ import annotations

import functools
import importlib

import pytest
import torch
from training_programs import ours, real, same

from pyro_vae import fit
from pyro_vae.training import Aggressive, Alternating, Joint, Strategy
from pyro_vae.training.compiled_step import CompiledStep

OPTIONS = {"batch_size": 20, "lr": 1e-2, "progress": False}  # 60 examples: 3 steps an epoch


def _parts(pair):
    return [{k: v.clone() for k, v in program.state_dict().items()} for program in pair]


class Watch(Strategy):
    """Says what another strategy would, and notes what moved."""

    def __init__(self, pair, inner):
        self._pair, self._inner, self._seen = pair, inner, []

    needs_information = True

    def __deepcopy__(self, memo):
        return self

    def frozen(self, step):
        self._before = _parts(self._pair)
        return self._inner.frozen(step)

    def note_loss(self, loss):
        self._inner.note_loss(loss)
        now = _parts(self._pair)
        self._seen.append(tuple(not same(a, b) for a, b in zip(self._before, now, strict=True)))

    def end_epoch(self, information):
        self._inner.end_epoch(information)


@pytest.mark.parametrize("compile", [False, True])
def test_in_turn_one_part_moves_at_a_time(compile, monkeypatch):
    plain = functools.partial(CompiledStep, backend="none", strict=True)
    monkeypatch.setattr(importlib.import_module("pyro_vae.training.fit"), "CompiledStep", plain)
    pair = ours()
    watch = Watch(pair, Alternating(guide_steps=2))
    fit(*pair, real(60), strategy=watch, epochs=2, compile=compile, **OPTIONS)
    theta, phi = (True, False), (False, True)
    assert watch._seen == [phi, phi, theta] * 2
    watch = Watch(pair, Joint())
    fit(*pair, real(60), strategy=watch, epochs=1, compile=compile, **OPTIONS)
    assert watch._seen == [(True, True)] * 3


def test_joint_is_the_default():
    first, second = ours(), ours()
    fit(*first, real(60), epochs=2, **OPTIONS)
    fit(*second, real(60), epochs=2, strategy=Joint(), **OPTIONS)
    assert all(map(same, _parts(first), _parts(second)))


def test_aggressive_rounds_end_when_phi_gains_no_more():
    strategy = Aggressive(most=100, window=2)
    for loss in (5.0, 4.0, 3.0, 2.0):  # windows of 4.5 and 2.5: it gains
        assert strategy.frozen(0) == "theta"
        strategy.note_loss(loss)
    for loss in (3.0, 2.0):  # 2.5 again
        assert strategy.frozen(0) == "theta"
        strategy.note_loss(loss)
    assert strategy.frozen(0) == "phi"  # theta's one step
    strategy.note_loss(9.0)
    assert strategy.frozen(0) == "theta"
    strategy.note_loss(9.0)
    strategy.note_loss(9.0)  # the first window of a round is compared with nothing
    assert strategy.frozen(0) == "theta"


def test_aggressive_rounds_have_an_end_in_any_case():
    strategy = Aggressive(most=3, window=10)
    for loss in (3.0, 2.0, 1.0):
        strategy.note_loss(loss)
    assert strategy.frozen(0) == "phi"


def test_steps_are_joint_once_information_grows_no_more():
    strategy = Aggressive(patience=2)
    for information in (0.5, 1.0, 0.9):
        strategy.end_epoch(information)
        assert strategy.frozen(0) == "theta"
    strategy.end_epoch(0.8)
    assert strategy.done
    assert strategy.frozen(0) is None


def test_an_aggressive_run_reports_information_and_resumes_bit_for_bit(tmp_path):
    path, options = tmp_path / "run.pt", {**OPTIONS, "schedule": "constant"}
    aggressive = Aggressive(most=4, window=2)
    whole, pair = ours(), ours()
    history = fit(*whole, real(60), strategy=aggressive, epochs=4, **options)
    assert all(0 < value < torch.tensor(60.0).log() for value in history["information"])
    fit(*pair, real(60), strategy=aggressive, epochs=2, checkpoint=path, **options)
    resumed = fit(*pair, real(60), strategy=aggressive, epochs=4, resume=path, **options)
    assert resumed["information"] == history["information"]
    assert all(map(same, _parts(whole), _parts(pair)))
    other = Aggressive(most=5, window=2)
    with pytest.raises(ValueError, match=r"written with strategy=.*resume with the same"):
        fit(*pair, real(60), strategy=other, epochs=4, resume=path, **options)


@pytest.mark.parametrize(
    ("make", "error", "line"),
    [
        (lambda: Alternating(0), ValueError, "guide_steps is a whole number of at least 1, not 0"),
        (lambda: Aggressive(window=1.5), ValueError, "window is a whole number of at least 1"),
        (
            lambda: fit(*ours(), real(20), strategy="joint", epochs=1, **OPTIONS),
            TypeError,
            r"strategy is Joint\(\), Alternating",
        ),
    ],
)
def test_bad_strategies_get_one_line(make, error, line):
    with pytest.raises(error, match=line):
        make()
