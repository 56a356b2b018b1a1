"""``pyro-vae sweep``: runs side by side."""

from __future__ import annotations

import csv

import pytest
from cli_calls import TINY, Command


@pytest.fixture
def command(capsys):
    return Command(capsys)


def test_a_run_for_each_value_in_one_table(command, tmp_path):
    words = ["sweep", "--data", "digits", *TINY, "--lr", "1e-3", "1e-2", "--out", tmp_path / "s"]
    result = command.good(*words)
    assert result.err.startswith("run 1 of 2: lr=1e-3\n")
    header, *rows = [line.split() for line in result.out.splitlines() if "±" not in line][-4:-1]
    assert header == ["lr", "elbo", "reconstruction", "kl", "nll", "active_units"]
    assert [row[0] for row in rows] == ["1e-3", "1e-2"]
    with (tmp_path / "s" / "sweep.csv").open() as file:
        table = list(csv.DictReader(file))
    for row in table:
        assert float(row["elbo"]) == pytest.approx(
            float(row["reconstruction"]) - float(row["kl"]), abs=1e-3
        )
        assert (tmp_path / "s" / f"lr={row['lr']}" / "checkpoint.pt").exists()
    assert (tmp_path / "s" / "sweep.png").stat().st_size > 5_000
    again = command.good(*words)
    assert "run 1" not in again.err  # what is there is not run again


def test_two_options_give_every_pair(command, tmp_path):
    command.good(
        "sweep", "--data", "digits", *TINY, "--lr", "1e-3", "1e-2", "--seed", "0", "1",
        "--out", tmp_path / "s",
    )  # fmt: skip
    runs = sorted(path.name for path in (tmp_path / "s").iterdir() if path.is_dir())
    assert runs == [f"lr={lr},seed={seed}" for lr in ("1e-2", "1e-3") for seed in (0, 1)]


def test_what_families_find_is_in_the_table(command, tmp_path):
    folder = tmp_path / "s"
    words = ["--program", "vae", "denoising", "--data", "digits", *TINY, "--out", folder]
    result = command.good("sweep", *words)
    header, *rows = [line.split() for line in result.out.splitlines() if "±" not in line][-4:-1]
    assert header[-2:] == ["denoised_rmse", "spoilt_rmse"]
    assert rows[0][0] == "vae" and rows[0][-2:] == ["-", "-"] and float(rows[1][-1]) > 0
    with (folder / "sweep.csv").open() as file:
        vae, denoising = csv.DictReader(file)
    assert vae["spoilt_rmse"] == "" and float(denoising["spoilt_rmse"]) > 0
    assert float(vae["elbo"]) < 0 and float(denoising["elbo"]) < 0


def test_a_sweep_that_broke_off_is_taken_up(command, tmp_path):
    words = ["sweep", "--data", "digits", *TINY, "--lr", "1e-3", "1e-2", "--out", tmp_path / "s"]
    command.good(*words)
    (tmp_path / "s" / "lr=1e-2" / "report.json").unlink()
    result = command.good(*words)
    assert "run 2 of 2" in result.err
    assert "run 1 of 2" not in result.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--lr", "1e-3"], "no option has several values: --objective.beta 0.1 1 10"),
        (["digits"], "'digits' belongs to no option; see pyro-vae sweep --help"),
        (["--out", "a", "b"], "--out needs one folder"),
        (["--json", "a", "b"], "--json cannot have several values"),
        (["--lr", "1e-3", "-1"], "lr"),
    ],
)
def test_bad_words_get_one_line(command, tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    result = command("sweep", *words, *([] if line != "lr" else TINY))
    assert result.code == 2
    assert line in result.err.splitlines()[-1]


def test_help(command):
    assert "--objective.beta 0.1 1 4 10" in command.good("sweep", "--help").out
