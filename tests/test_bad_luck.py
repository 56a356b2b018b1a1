"""A full disk, Ctrl-C at the worst moment, a loss that is not finite: nothing that was is lost."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_calls import NETS, TINY, Command, contents, same_state

from pyro_vae.cli.main import run

WORDS = [*NETS, "--limit", 50, "--epochs", 3, "--particles", 5, "--pictures", "false"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Three epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(["train", *map(str, WORDS), "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def command(capsys, tmp_path, monkeypatch) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


class Failing:
    """`os.fsync` which fails at the n-th file by this name, by an error of one's choice."""

    def __init__(self, name: str, at: int, error: BaseException) -> None:
        self.name, self.left, self.error, self.real = name, at, error, os.fsync

    def __call__(self, descriptor: int) -> None:
        opened = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if opened.startswith(f".{self.name}"):
            self.left -= 1
            if self.left == 0:
                raise self.error
        self.real(descriptor)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.mark.parametrize("name", ["config.yaml", "checkpoint.pt"])
def test_a_full_disk_at_the_start_leaves_nothing(name, command, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", Failing(name, 1, FULL))
    line = command("train", *TINY, "--out", "x").err.splitlines()[-1]
    assert line.startswith(f"pyro-vae train: error: cannot write x/{name}: No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["config.yaml", "checkpoint.pt"])
def test_a_run_that_was_to_be_overwritten_outlives_a_full_disk(
    name, command, whole, tmp_path, monkeypatch
):
    shutil.copytree(whole, tmp_path / "run")
    before = contents(tmp_path / "run")
    monkeypatch.setattr(os, "fsync", Failing(name, 1, FULL))
    result = command("train", *TINY, "--out", "run", "--overwrite")
    assert result.code == 2 and f"cannot write run/{name}: No space left" in result.err
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("error", "code"), [(FULL, 2), (KeyboardInterrupt(), 130)], ids=["full disk", "Ctrl-C"]
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    error, code, command, whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing("checkpoint.pt", 2, error))
        result = command("train", *WORDS, "--out", "run")
    assert (result.code, result.out) == (code, "")
    last = result.err.splitlines()[-1]
    if code == 130:
        assert last == "pyro-vae: interrupted: go on with: pyro-vae resume run"
    else:
        assert "cannot write run/checkpoint.pt: No space left on device" in last
    assert not list((tmp_path / "run").glob(".*"))
    command.good("resume", "run", "--pictures", "false")
    assert same_state(whole / "checkpoint.pt", tmp_path / "run/checkpoint.pt")


def test_a_full_disk_at_the_report_leaves_the_weights(command, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", Failing("report.json", 1, FULL))
    result = command("train", *WORDS, "--out", "run")
    assert result.code == 2 and "cannot write run/report.json: No space left" in result.err
    assert same_state(whole / "checkpoint.pt", tmp_path / "run/checkpoint.pt")


@pytest.mark.parametrize("words", [["--lr", -1], ["--device", "gpu7"], ["--clip_norm", 0]])
def test_options_that_are_refused_late_lose_nothing(words, command, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    before = contents(tmp_path / "run")
    command.bad("train", *TINY, *words, "--out", "run", "--overwrite")
    assert contents(tmp_path / "run") == before
    command.bad("train", *TINY, *words)
    assert not (tmp_path / "runs/digits").exists()


def test_a_loss_that_is_not_finite_says_where_and_keeps_the_folder_clean(command, tmp_path):
    np.save("large.npy", np.full((40, 3), 1e30) * np.random.default_rng(0).normal(size=(40, 3)))
    words = ["--likelihood", "Normal", "--likelihood.scale", 1e-9, "--data", "large.npy"]
    result = command("train", *TINY, *words, "--out", "x")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("pyro-vae train: error: ") and result.err.count("\n") == 1
    assert "'x'" in result.err or "'z'" in result.err
    assert not (tmp_path / "x").exists()


def test_an_extra_that_is_not_installed(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    line = command.bad("train", *TINY, "--tensorboard", "--out", "x")
    assert line == 'TensorBoardLogger needs TensorBoard: pip install "pyro-vae[tensorboard]"'
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_of_ours_is_named_by_its_kind(command, monkeypatch):
    def stumble(*_, **__):
        raise KeyError("weights")

    monkeypatch.setattr("pyro_vae.training.fit", stumble)
    assert command.bad("train", *TINY, "--out", "x") == "KeyError: 'weights'"


def test_ctrl_c_before_anything_was_trained(command, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_vae.training.fit", stop)
    result = command("train", *TINY, "--out", "x")
    assert (result.code, result.out) == (130, "")
    assert result.err.strip() == "pyro-vae: interrupted"
    assert list(tmp_path.iterdir()) == []
