"""A run that was stopped goes on bit for bit as if it had not been; or says why it cannot."""

from __future__ import annotations

import errno
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES
from pyro.infer import Trace_ELBO
from torch import Tensor
from training_programs import WAYS, AtStep, binary, noisy, ours, real, same, trained

from pyro_vae import ELBO, fit
from pyro_vae.training import (
    CheckpointError,
    FileLogger,
    History,
    files,
    keeper,
    load,
    save,
)

STEPS = 9  # of a whole run: 3 epochs of 3


def run(pair: Any, x: Any = None, **options: Any) -> History:
    settings = {"epochs": 3, "batch_size": 20, "lr": 1e-2, "progress": False, **options}
    return fit(*pair, real() if x is None else x, **settings)


def ctrl_c(step: int) -> AtStep:
    """Press Ctrl-C within a step."""
    return AtStep(step, lambda _: signal.raise_signal(signal.SIGINT))


class Press:
    """A logger that presses Ctrl-C."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log(self, row: Any, step: int) -> None:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)


def identity(x: Tensor) -> Tensor:
    return x


def without_seconds(value: Any) -> Any:
    """A checkpoint as something that can be compared, without the time that it took."""
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def rows(history: History) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def whole_and_interrupted(folder: Path, build: Any, at: list[int], x: Tensor, **options: Any):
    """Two runs' programs, histories and last checkpoints; Ctrl-C at these steps of the second."""
    transform = options.pop("transform", identity)
    pair = build(0)
    history = run(pair, x, transform=transform, checkpoint=folder / "whole.pt", **options)
    first = trained(pair), rows(history), without_seconds(load(folder / "whole.pt"))
    path, resume, done = folder / "parts.pt", None, 0
    for number, step in enumerate([*at, None]):
        pyro.clear_param_store()
        pair = build(number)  # newly built, with other weights from the second time on
        press = identity if step is None else ctrl_c(step - done)

        def both(batch: Tensor, press: Any = press) -> Tensor:
            return transform(press(batch))

        settings = {**options, "transform": both, "checkpoint": path, "resume": resume}
        if step is None:
            history = run(pair, x, **settings)
            break
        with pytest.raises(KeyboardInterrupt) as caught:
            run(pair, x, **settings)
        assert str(caught.value) == f"stopped after step {step}; {path} holds step {step}"
        assert load(path)["step"] == step
        resume, done = path, step
    return first, (trained(pair), rows(history), without_seconds(load(path)))


FULL = {
    "transform": torch.bernoulli,
    "validation": binary(13),
    "clip_norm": 0.5,
    "lr_guide": 3e-3,
    "schedule": "cosine",
}


@pytest.mark.parametrize("at", [[1], [3], [4], [8], [2, 3, 7]], ids=str)
def test_everything_goes_on_bit_for_bit(tmp_path: Path, at: list[int]):
    """Binarised afresh, dropout and batch norm on both sides, best weights, clipping, schedule."""
    x = torch.sigmoid(real())
    first, second = whole_and_interrupted(tmp_path, noisy, at, x, **FULL)
    assert same(first[0], second[0])
    assert first[1] == second[1]
    assert first[2] == second[2]


@pytest.mark.parametrize("way", WAYS)
def test_however_the_programs_are_written(tmp_path: Path, way: str):
    options = {"objective": Trace_ELBO(), "schedule": "linear", "validation": real(7)}
    first, second = whole_and_interrupted(tmp_path, WAYS[way], [4], real(), **options)
    assert same(first[0], second[0]) and first[1:] == second[1:]


@pytest.mark.parametrize("case", CASES)
def test_whatever_the_programs_are(tmp_path: Path, case: str):
    """Discrete latents, masks, weights, subsampling, hierarchies, auxiliary sites."""
    x = CASES[case]().args[0]

    def build(number: int) -> Any:
        made = CASES[case]()
        return made.model, made.guide

    options = {"batch_size": len(x), "lr": 1e-3}
    first, second = whole_and_interrupted(tmp_path, build, [2], x, **options)
    assert same(first[0], second[0]) and first[1:] == second[1:]


@pytest.mark.parametrize(
    "optim",
    [
        torch.optim.AdamW,
        lambda groups: torch.optim.SGD(groups, momentum=0.9),
        torch.optim.RMSprop,
        pyro.optim.ClippedAdam({"clip_norm": 1.0}),
    ],
)
def test_whatever_the_optimiser_and_objective(tmp_path: Path, optim: Any):
    options = {"optim": optim, "objective": ELBO("sampled", particles=2), "lr": 1e-3}
    options |= {"schedule": lambda done: 1 - done**2}
    first, second = whole_and_interrupted(tmp_path, ours, [5], real(), **options)
    assert same(first[0], second[0]) and first[1:] == second[1:]


SCRIPT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import pyro, torch
from training_programs import AtStep, binary, noisy, real
from pyro_vae import fit

torch.set_num_threads(1)
pyro.enable_validation(True)
kill = AtStep(5, lambda _: os.kill(os.getpid(), signal.SIGKILL))
fit(
    *noisy(), torch.sigmoid(real()), transform=lambda x: torch.bernoulli(kill(x)),
    validation=binary(13), clip_norm=0.5, lr_guide=3e-3, schedule="cosine",
    lr=1e-2, epochs=3, batch_size=20, progress=False, checkpoint=sys.argv[2],
)
"""


def test_a_killed_process_is_taken_up_by_another_one(tmp_path: Path):
    x, path = torch.sigmoid(real()), tmp_path / "run.pt"
    words = [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1]), str(path)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert load(path)["step"] == 3
    whole, pair = noisy(0), noisy(1)
    run(whole, x, **FULL, checkpoint=tmp_path / "whole.pt")
    run(pair, x, **FULL, checkpoint=path, resume=path)
    assert without_seconds(load(path)) == without_seconds(load(tmp_path / "whole.pt"))
    assert same(trained(pair), trained(whole))


def test_random_numbers_outside_stay_as_they_were(tmp_path: Path):
    path = tmp_path / "run.pt"
    pair, other, x = noisy(), noisy(1), torch.sigmoid(real())

    def state() -> Any:
        return torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002

    before = state()
    press = ctrl_c(4)
    with pytest.raises(KeyboardInterrupt):
        run(pair, x, transform=lambda b: torch.bernoulli(press(b)), checkpoint=path)
    assert state() == before
    run(other, x, transform=torch.bernoulli, resume=path)
    assert state() == before


# -- more epochs, and runs that are over -------------------------------------------------------


def test_epochs_may_grow(tmp_path: Path):
    path, long = tmp_path / "run.pt", ours()
    history = run(long, schedule="constant", epochs=5, validation=real(7))
    run(ours(), schedule="constant", epochs=2, validation=real(7), checkpoint=path)
    pair = ours(1)
    resumed = run(pair, schedule="constant", epochs=5, validation=real(7), resume=path)
    assert same(trained(pair), trained(long)) and rows(resumed) == rows(history)


def test_a_schedule_is_then_that_of_the_longer_run_from_the_first_step_on(tmp_path: Path):
    taken: list[float] = []

    class Watch(torch.optim.SGD):
        def step(self, closure=None):
            taken.append(self.param_groups[0]["lr"])
            return super().step(closure)

    path = tmp_path / "run.pt"
    run(ours(), epochs=1, schedule="linear", lr=0.01, optim=Watch, checkpoint=path)
    run(ours(1), epochs=2, schedule="linear", lr=0.01, optim=Watch, resume=path)
    wanted = [1, 2 / 3, 1 / 3, 3 / 6, 2 / 6, 1 / 6]
    assert taken == pytest.approx([0.01 * factor for factor in wanted])


def test_a_run_that_is_complete_comes_back_as_it_ended(tmp_path: Path):
    path, pair = tmp_path / "run.pt", ours()
    history = run(pair, validation=real(7), checkpoint=path)
    again = ours(1)
    assert rows(run(again, validation=real(7), resume=path)) == rows(history)
    assert same(trained(again), trained(pair))


def test_fewer_epochs_than_were_run_are_refused(tmp_path: Path):
    path = tmp_path / "run.pt"
    run(ours(), checkpoint=path)
    with pytest.raises(ValueError, match=r"^the checkpoint is in epoch 3 already, and epochs=2$"):
        run(ours(), epochs=2, resume=path)


def test_patience_counts_on(tmp_path: Path):
    """Twelve epochs in one go and in two, where validation stops before their end."""
    options = {"epochs": 30, "patience": 2, "lr": 0.3, "validation": real(7), "schedule": "linear"}
    pair, path = ours(), tmp_path / "run.pt"
    history = run(pair, **options)
    assert 3 < len(history) < 30  # it does stop
    with pytest.raises(KeyboardInterrupt):
        press = ctrl_c(3 * (len(history) - 1))
        run(ours(), **options, transform=press, checkpoint=path)
    other = ours(1)
    assert rows(run(other, **options, transform=identity, resume=path)) == rows(history)
    assert same(trained(other), trained(pair))


def test_the_file_of_a_logger_has_each_row_once(tmp_path: Path):
    path, log = tmp_path / "run.pt", tmp_path / "log.csv"
    with pytest.raises(KeyboardInterrupt):
        run(ours(), transform=ctrl_c(5), checkpoint=path, loggers=[FileLogger(log)])
    loggers = [FileLogger(log, resume=True)]
    history = run(ours(), transform=identity, resume=path, loggers=loggers)
    assert rows(History.from_csv(log)) == [
        {"step": row["step"], **{k: v for k, v in row.items() if k not in ("step", "seconds")}}
        for row in history
    ]


def test_a_row_is_logged_before_the_checkpoint_says_it_is_done(tmp_path: Path):
    """Killed between the two, a resumed run logs the row again; the other order would lose it."""
    path = tmp_path / "run.pt"

    class Die:
        def log(self, row: Any, step: int) -> None:
            if row["epoch"] == 2:
                raise SystemExit

    with pytest.raises(SystemExit):
        run(ours(), checkpoint=path, loggers=[Die()])
    assert load(path)["epoch"] == 1


def test_the_checkpoint_is_written_every_few_epochs_and_at_the_end(tmp_path: Path, monkeypatch):
    written: list[int] = []
    monkeypatch.setattr(keeper, "save", lambda path, state: written.append(state["epoch"]))
    run(ours(), epochs=7, checkpoint=tmp_path / "run.pt", checkpoint_every=3)
    assert written == [3, 6, 7]


# -- Ctrl-C ------------------------------------------------------------------------------------


def test_ctrl_c_without_a_checkpoint_stops_between_two_steps():
    pair, other = ours(), ours()
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 4$"):
        run(pair, transform=ctrl_c(4), schedule="constant")
    taken = 0

    class Count(torch.optim.Adam):
        def step(self, closure=None):
            nonlocal taken
            taken += 1
            return super().step(closure)

    stop = AtStep(5, lambda _: (_ for _ in ()).throw(StopAsyncIteration))
    with pytest.raises(StopAsyncIteration):
        run(other, transform=stop, schedule="constant", optim=lambda g: Count(g, fused=True))
    assert taken == 4 and same(trained(pair), trained(other))


def test_ctrl_c_in_the_last_step_is_not_lost_and_nor_is_the_run(tmp_path: Path):
    pair, other, path = ours(), ours(), tmp_path / "run.pt"
    run(other, transform=identity, validation=real(7))
    with pytest.raises(KeyboardInterrupt):
        run(pair, transform=ctrl_c(STEPS), validation=real(7), checkpoint=path)
    assert load(path)["epoch"] == 3
    assert same(trained(pair), trained(other))  # the best ones


def test_ctrl_c_in_a_logger_stops_before_the_next_step(tmp_path: Path):
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 3; .* holds step 3$"):
        run(ours(), loggers=[Press(3)], checkpoint=path)
    pair, whole = ours(1), ours()
    run(whole)
    run(pair, resume=path)
    assert same(trained(pair), trained(whole))


def test_a_second_ctrl_c_during_the_checkpoint_keeps_the_previous_one(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    original = files.os.fsync

    def fsync(file: int) -> None:
        if pressed.now >= pressed.step:
            signal.raise_signal(signal.SIGINT)
        original(file)

    pressed = ctrl_c(5)
    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        run(ours(), transform=pressed, checkpoint=path)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    assert load(path)["step"] == 3
    pair, whole = ours(1), ours()
    run(whole, transform=identity)
    run(pair, transform=identity, resume=path)
    assert same(trained(pair), trained(whole))


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN, lambda *_: None])
def test_the_handler_outside_is_put_back(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        run(ours())
        assert signal.getsignal(signal.SIGINT) is handler
        with pytest.raises(KeyboardInterrupt):
            run(ours(), transform=ctrl_c(2))
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_resumes_as_well(tmp_path: Path):
    path, whole, pair = tmp_path / "run.pt", ours(), ours(1)
    run(whole, transform=identity)
    with pytest.raises(KeyboardInterrupt):
        run(ours(), transform=ctrl_c(5), checkpoint=path)
    options = {"transform": identity, "resume": path, "checkpoint": path}
    thread = threading.Thread(target=run, args=(pair,), kwargs=options)
    thread.start()
    thread.join()
    assert same(trained(pair), trained(whole)) and load(path)["epoch"] == 3


# -- a disk that is full -----------------------------------------------------------------------


def test_a_full_disk_leaves_the_previous_checkpoint_and_the_weights(tmp_path, monkeypatch):
    path, pair, whole = tmp_path / "run.pt", ours(), ours()
    run(whole, epochs=2, schedule="constant")
    written = 0

    def fsync(file: int) -> None:
        nonlocal written
        written += 1
        if written == 3:  # the file, then the folder, of the first; the file of the second
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(OSError) as caught:
        run(pair, checkpoint=path, schedule="constant")
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; training stopped after step 6; "
        "the file still holds step 3"
    )
    assert caught.value.errno == errno.ENOSPC
    assert same(trained(pair), trained(whole))
    assert load(path)["step"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


# -- what must be the same ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"seed": 1}, "seed=0, not 1"),
        ({"batch_size": 30}, "batch_size=20, not 30"),
        ({"lr": 2e-2}, "lr of theta=0.01, not 0.02"),
        ({"lr_guide": 2e-2}, "lr of phi=0.01, not 0.02"),
        ({"optim": torch.optim.SGD}, "optim='Adam', not 'SGD'"),
        (
            {"optim": lambda groups: torch.optim.Adam(groups, betas=(0.5, 0.9))},
            "betas of theta=[0.9, 0.999], not [0.5, 0.9]",
        ),
        ({"schedule": "linear"}, "schedule='cosine', not 'linear'"),
        (
            {"schedule": lambda done: 1 - done / 2},
            "schedule='cosine', not [1.0, 0.875, 0.75, 0.625, 0.5]",
        ),
        ({"clip_norm": 1.0}, "clip_norm=None, not 1.0"),
        ({"transform": identity}, "transform=False, not True"),
        ({"validation": None}, "validation='7x5 float32 "),
        ({"validation": real(8)}, "validation='7x5 float32 "),
        ({"x": real(59)}, "data='60x5 float32 "),
        ({"x": real() + 1}, "data='60x5 float32 "),
        ({"x": real().index_fill(0, torch.tensor(59), 0.0)}, "data='60x5 float32 "),
        ({"objective": Trace_ELBO()}, "objective='ELBO', not 'Trace_ELBO'"),
        ({"objective": ELBO("sampled")}, "kl of the objective='auto', not 'sampled'"),
        ({"objective": ELBO(particles=2)}, "num_particles of the objective=1, not 2"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_another_option_is_refused_and_nothing_changes(tmp_path: Path, change: Any, line: str):
    path = tmp_path / "run.pt"
    options = {"validation": real(7), "checkpoint": path}
    run(ours(), epochs=1, **options)
    pair = ours(1)
    before = trained(pair)
    with pytest.raises(ValueError, match=r"^the checkpoint was written with ") as caught:
        run(pair, **{**options, "checkpoint": None, "resume": path, **change})
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).endswith(": resume with the same, or begin a new run")
    assert same(trained(pair), before)


def test_what_only_says_how_long_or_where_may_change(tmp_path: Path):
    path, whole, pair = tmp_path / "run.pt", ours(), ours(1)
    run(whole, validation=real(7), restore_best=False)
    with pytest.raises(KeyboardInterrupt):
        run(ours(), validation=real(7), checkpoint=path, patience=3, loggers=[Press(3)])
    options = {"checkpoint": tmp_path / "other.pt", "checkpoint_every": 2, "device": "cpu"}
    run(pair, validation=real(7), resume=path, restore_best=False, **options)
    assert same(trained(pair), trained(whole))


def test_bare_parameters_of_another_shape_are_refused(tmp_path: Path):
    def build(noise: Tensor) -> Any:
        def model(x: Tensor) -> None:
            scale = pyro.param("noise", noise, dist.constraints.positive)
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
                pyro.sample("x", dist.Normal(z[:, None], scale).expand(x.shape).to_event(1), obs=x)

        def guide(x: Tensor) -> None:
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(x.mean(-1), 1.0))

        return model, guide

    path = tmp_path / "run.pt"
    run(build(torch.tensor(1.0)), checkpoint=path, epochs=1)
    pyro.clear_param_store()
    line = (
        r"^the saved state does not fit the programs: 'noise' has shape \(\) in it, and \(5,\) here"
    )
    with pytest.raises(ValueError, match=line):
        run(build(torch.ones(5)), resume=path)
    assert torch.equal(pyro.param("noise"), torch.ones(5))


def test_frozen_parameters_must_be_the_same(tmp_path: Path):
    path = tmp_path / "run.pt"
    run(ours(), epochs=1, checkpoint=path)
    pair = ours(1)
    pair[0].likelihood.log_scale.requires_grad_(False)
    with pytest.raises(ValueError, match="with number of tensors in theta=5, not 4: resume"):
        run(pair, resume=path)


@pytest.mark.parametrize("part", ["settings", "weights", "best", "history", "sums", "rng", "step"])
def test_a_checkpoint_that_lacks_a_part_is_not_of_a_run(tmp_path: Path, part: str):
    path, pair = tmp_path / "run.pt", ours()
    run(pair, epochs=1, checkpoint=path)
    state = load(path)
    del state[part]
    save(path, state)
    before = trained(pair)
    with pytest.raises(CheckpointError, match=f"^the checkpoint is not of a run: it lacks '{part}"):
        run(pair, resume=path)
    assert same(trained(pair), before)
