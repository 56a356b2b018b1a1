"""Rows reach their file at once, and a resumed run neither loses nor doubles one."""

from __future__ import annotations

import io
import json
import math
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pyro_vae.training.history import History
from pyro_vae.training.loggers import FileLogger, Logger, PrintLogger, TensorBoardLogger

FORMS = pytest.mark.parametrize("form", ["csv", "jsonl"])


def read(path: Path) -> History:
    return History.from_csv(path) if path.suffix == ".csv" else History.from_jsonl(path)


def log(logger: Logger, *steps: int, sign: float = -1.0) -> None:
    for step in steps:
        logger.log({"elbo": sign * step}, step)


class Mine:
    def log(self, row: Mapping[str, float | int | None], step: int) -> None: ...


def test_a_class_with_the_one_method_is_a_logger(tmp_path: Path) -> None:
    assert all(isinstance(x, Logger) for x in (Mine(), PrintLogger(), FileLogger("a.csv")))
    assert not isinstance(History(), Logger)


@FORMS
def test_each_row_is_in_the_file_when_log_returns(tmp_path: Path, form: str) -> None:
    path = tmp_path / "new" / "folder" / f"log.{form}"
    logger = FileLogger(path)
    for done in (1, 2, 3):
        logger.log({"elbo": -1.5 * done, "lr": None}, step=done)
        assert read(path).rows == [
            {"step": s, "elbo": -1.5 * s, "lr": None} for s in range(1, done + 1)
        ]


@FORMS
def test_later_rows_are_appended_and_not_written_again(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"log.{form}"
    logger = FileLogger(path)
    log(logger, 1)
    before = path.stat().st_ino
    log(logger, 2, 3)
    assert path.stat().st_ino == before
    assert read(path)["step"] == [1, 2, 3]


@FORMS
def test_a_column_may_come_late_and_be_absent_again(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"log.{form}"
    logger = FileLogger(path)
    logger.log({"elbo": -3.0}, step=1)
    logger.log({"elbo": math.nan, "valid_elbo": -math.inf}, step=2)
    logger.log({"elbo": -1.0}, step=3)
    assert [list(row.values())[2:] for row in read(path)] == [[None], [-math.inf], [None]]
    if form == "csv":
        expected = "step,elbo,valid_elbo\n1,-3.0,\n2,nan,-inf\n3,-1.0,\n"
        assert path.read_text() == expected


def test_jsonl_is_json(tmp_path: Path) -> None:
    FileLogger(tmp_path / "log.jsonl").log({"elbo": math.nan, "kl": 2}, step=5)
    text = (tmp_path / "log.jsonl").read_text()
    assert json.loads(text) == {"step": 5, "elbo": "nan", "kl": 2}


def test_the_step_argument_wins_over_a_step_in_the_row(tmp_path: Path) -> None:
    FileLogger(tmp_path / "log.csv").log({"epoch": 1, "step": 3}, step=40)
    assert read(tmp_path / "log.csv").rows == [{"step": 40, "epoch": 1}]


@FORMS
def test_resume_drops_the_rows_past_the_checkpoint(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"log.{form}"
    log(FileLogger(path), 10, 20, 30, 40)
    log(FileLogger(path, resume=True), 30, 40, 50, sign=1.0)
    assert read(path)["step"] == [10, 20, 30, 40, 50]
    assert read(path)["elbo"] == [-10.0, -20.0, 30.0, 40.0, 50.0]


@FORMS
def test_resume_drops_a_half_written_line(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"log.{form}"
    log(FileLogger(path), 10, 20)
    path.write_bytes(path.read_bytes()[:-2])
    log(FileLogger(path, resume=True), 30)
    assert read(path)["elbo"] == [-10.0, -30.0]


@FORMS
def test_resume_without_a_file_begins_one(tmp_path: Path, form: str) -> None:
    log(FileLogger(tmp_path / f"log.{form}", resume=True), 1)
    (tmp_path / f"empty.{form}").write_text("")
    log(FileLogger(tmp_path / f"empty.{form}", resume=True), 1)
    assert [len(read(path)) for path in tmp_path.iterdir()] == [1, 1]


@FORMS
def test_a_new_run_replaces_the_file_at_its_first_row_only(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"log.{form}"
    log(FileLogger(path), 10, 20)
    logger = FileLogger(path)
    assert read(path)["step"] == [10, 20]
    log(logger, 15)
    assert read(path)["step"] == [15]


def test_files_that_cannot_be_logs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.txt: the name must end in \.csv or \.jsonl"):
        FileLogger(tmp_path / "log.txt")
    other = tmp_path / "other.csv"
    other.write_text("epoch,elbo\n1,2\n")
    with pytest.raises(ValueError, match=r"other\.csv: it has no column 'step'"):
        FileLogger(other, resume=True)
    assert other.read_text() == "epoch,elbo\n1,2\n"


def test_print_logger(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"epoch": 3, "elbo": -98.126, "valid_elbo": None, "lr": 3e-4}
    PrintLogger().log(row, step=60)
    assert capsys.readouterr().out == "step 60  epoch 3  elbo -98.13  lr 0.0003\n"
    elsewhere = io.StringIO()
    PrintLogger(elsewhere).log({"elbo": -1.0}, step=1)
    assert elsewhere.getvalue() == "step 1  elbo -1.00\n" and capsys.readouterr().out == ""


def test_without_tensorboard_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r'pip install "pyro-vae\[tensorboard\]"$'):
        TensorBoardLogger(tmp_path)


class Writer:
    """Stands in for TensorBoard's writer and keeps what it is told."""

    calls: list[Any]

    def __init__(self, folder: str, purge_step: int) -> None:
        type(self).calls = [("open", folder, purge_step)]

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.calls.append((name, value, step))

    def flush(self) -> None:
        self.calls.append("flush")


def test_tensorboard_gets_each_quantity_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    logger = TensorBoardLogger(tmp_path)
    logger.log({"elbo": -2.0, "valid_elbo": None, "kl": 1.0}, step=30)
    logger.log({"elbo": -1.5}, step=40)
    assert Writer.calls == [
        ("open", str(tmp_path), 30),
        ("elbo", -2.0, 30),
        ("kl", 1.0, 30),
        "flush",
        ("elbo", -1.5, 40),
        "flush",
    ]


# TensorBoard's own modules warn of deprecations that are not ours to mend.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_itself_reads_a_resumed_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log(TensorBoardLogger(tmp_path), 10, 20, 30)
    log(TensorBoardLogger(tmp_path), 20, 30, 40, sign=1.0)
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("elbo")
    assert [(e.step, e.value) for e in events] == [(10, -10.0), (20, 20.0), (30, 30.0), (40, 40.0)]
