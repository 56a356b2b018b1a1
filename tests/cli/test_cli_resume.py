"""`pyro-vae resume`: as if the run had never stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import yaml
from cli_calls import NETS, Command, config_of, contents, same_state, start, wait_for

from pyro_vae.cli.main import run
from pyro_vae.training import History

WORDS = [*NETS, "--limit", "100", "--epochs", "30", "--batch_size", "20", "--particles", "5"]
QUIET = ["--pictures", "false", "--json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(["train", *WORDS, *QUIET, "--out", str(folder)]) == 0
    return folder


def _history(folder: Path) -> list[list[float]]:
    history = History.from_csv(folder / "history.csv")
    return [history[name] for name in history.columns if name != "seconds"]


@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C"])
def test_an_interrupted_run_goes_on_bit_for_bit(how, whole, command: Command, tmp_path):
    folder = tmp_path / "run"
    process = start("train", *WORDS, *QUIET, "--out", folder)
    wait_for((folder / "checkpoint.pt").exists, process)
    os.kill(process.pid, signal.SIGKILL if how == "kill -9" else signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == ""
    if how == "Ctrl-C":
        assert process.returncode == 130
        expected = f"pyro-vae: interrupted: go on with: pyro-vae resume {folder}"
        assert err.strip().splitlines() == [expected]
    else:
        assert process.returncode == -signal.SIGKILL
    assert not (folder / "report.json").exists()
    assert not same_state(whole / "checkpoint.pt", folder / "checkpoint.pt")
    report = command.good("resume", folder, *QUIET).json
    assert same_state(whole / "checkpoint.pt", folder / "checkpoint.pt")
    assert _history(folder) == _history(whole)
    other = command.good("evaluate", whole, "--particles", 5, "--json").json
    assert {name: report[name] for name in other} == other


def test_more_epochs_equal_a_longer_run(command, tmp_path):
    words = [*NETS, "--limit", 50, "--particles", 5, "--schedule", "constant", *QUIET]
    command.good("train", *words, "--epochs", 5, "--out", "long")
    command.good("train", *words, "--epochs", 2, "--out", "short")
    first = list(History.from_csv("short/history.csv"))
    command.good("resume", "short", "--epochs", 5, *QUIET)
    # Seconds included: what was done is not done again.
    assert list(History.from_csv("short/history.csv"))[:2] == first
    assert same_state(tmp_path / "long/checkpoint.pt", tmp_path / "short/checkpoint.pt")
    assert _history(tmp_path / "long") == _history(tmp_path / "short")
    assert config_of("short")["epochs"] == 5
    # Once more: there is nothing left to do, and that is said.
    before = Path("short/checkpoint.pt").read_bytes()
    again = command.good("resume", "short", *QUIET)
    assert again.err == "pyro-vae: all 5 epochs were done; give --epochs for more\n"
    assert same_state(tmp_path / "long/checkpoint.pt", tmp_path / "short/checkpoint.pt")
    assert len(Path("short/checkpoint.pt").read_bytes()) == len(before)


def test_rows_that_a_killed_process_left_unwritten_are_written(command, run_folder):
    history = run_folder / "history.csv"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines[:2]))
    command.good("resume", run_folder, *QUIET)
    assert [row["epoch"] for row in History.from_csv(history)] == [1, 2]


def test_a_schedule_that_is_laid_out_anew_is_told(command, run_folder):
    result = command.good("resume", run_folder, "--epochs", 4, *QUIET)
    assert result.err == (
        "pyro-vae: the cosine schedule was laid out for 2 epochs; after epoch 2 it was that of 4\n"
    )


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(command, run_folder):
    (run_folder / "checkpoint.pt").rename(run_folder / "expected.pt")
    command.good("resume", run_folder, *QUIET)
    assert same_state(run_folder / "expected.pt", run_folder / "checkpoint.pt")


def test_fewer_epochs_than_done_are_refused(command, run_folder):
    before = contents(run_folder)
    line = command.bad("resume", run_folder, "--epochs", 1)
    assert line == "--epochs 1: the run has 2 already"
    assert contents(run_folder) == before


def test_a_run_that_cannot_go_on_is_left_as_it_is(command, run_folder):
    config = config_of(run_folder)
    (run_folder / "config.yaml").write_text(yaml.safe_dump({**config, "batch_size": 10}))
    before = contents(run_folder)
    result = command("resume", run_folder, "--epochs", 4, *QUIET)
    assert (result.code, result.out) == (2, "")
    assert "batch_size=128, not 10" in result.err.splitlines()[-1]
    assert contents(run_folder) == before
