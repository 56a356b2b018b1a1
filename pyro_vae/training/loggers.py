"""Where the rows of a run go while it runs; to add a place, write a class with one method."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

from pyro_vae.training.files import atomic_write
from pyro_vae.training.history import History, csv_line, format_number, json_line


@runtime_checkable
class Logger(Protocol):
    """Anything that takes the rows of a run as they come."""

    def log(self, row: Mapping[str, float | int | None], step: int) -> None:
        """Take one row (bounds in nats per example), measured after ``step`` optimiser steps."""
        ...


class PrintLogger:
    """Print one line a row.

    Args:
        file: where to; standard output unless given.

    Example:
        >>> PrintLogger().log({"epoch": 2, "elbo": -98.123, "lr": 0.001}, step=40)
        step 40  epoch 2  elbo -98.12  lr 0.001
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file

    def log(self, row: Mapping[str, float | int | None], step: int) -> None:
        """Print the row, without the quantities that are None."""
        given = [
            f"{name} {format_number(value)}"
            for name, value in {"step": step, **row}.items()
            if value is not None
        ]
        # Looked up now, for whoever has redirected standard output since.
        print("  ".join(given), file=self._file or sys.stdout, flush=True)


class FileLogger:
    """Append each row to a CSV or JSONL file the moment it comes, so that an interrupted run
    keeps what it measured.

    A first column, ``step``, is added. In a CSV file a column that appears late is put into the
    header by rewriting the file once. :class:`History` reads both kinds back.

    Args:
        path: ends in ``.csv`` or ``.jsonl``. Its folder is made if need be.
        resume: go on with the file that is there: rows from the first logged step on (measured
            after the checkpoint that the run resumed from) are dropped, and so is a half-written
            last line. Otherwise the first row replaces the file.

    Raises:
        ValueError: another ending, or a file to resume that holds no such rows.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "log.csv")
        ...     FileLogger(path).log({"elbo": -120.5}, step=10)
        ...     logger = FileLogger(path, resume=True)
        ...     logger.log({"elbo": -101.25}, step=20)
        ...     print(path.read_text(), end="")
        step,elbo
        10,-120.5
        20,-101.25
    """

    def __init__(self, path: str | os.PathLike[str], resume: bool = False) -> None:
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".jsonl"):
            raise ValueError(f"cannot log to {path}: the name must end in .csv or .jsonl")
        self._csv = self.path.suffix == ".csv"
        self._history = History()
        # Nothing is touched before the first row: to construct a logger loses no file.
        self._begun = False
        if resume and self.path.exists():
            self._history = self._read()

    def log(self, row: Mapping[str, float | int | None], step: int) -> None:
        """Write the row; the file is complete and closed when this returns."""
        columns = self._history.columns
        if not self._begun:
            self._history = History([old for old in self._history if (old["step"] or 0) < step])
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._history.append(**{"step": step, **row} | {"step": step})
        if not self._begun or (self._csv and self._history.columns != columns):
            write = self._history.to_csv if self._csv else self._history.to_jsonl
            write(self.path)
            self._begun = True
            return
        last = self._history[-1]
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(csv_line(last.values()) if self._csv else json_line(last))

    def _read(self) -> History:
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            with atomic_write(self.path) as file:
                file.write(whole)
        history = (History.from_csv if self._csv else History.from_jsonl)(self.path)
        if len(history) and "step" not in history.columns:
            raise ValueError(f"cannot resume {self.path}: it has no column 'step'; log elsewhere")
        return history


class TensorBoardLogger:
    """Write each quantity as a TensorBoard scalar (``tensorboard --logdir FOLDER`` shows them).

    In a folder that already holds a run, TensorBoard shows the old rows only up to the first new
    step, so a resumed run continues its curves; give a new run a folder of its own.

    Args:
        folder: where the event files go.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                'TensorBoardLogger needs TensorBoard: pip install "pyro-vae[tensorboard]"'
            ) from error
        self._folder = os.fspath(folder)
        self._new_writer = SummaryWriter
        self._writer: Any = None

    def log(self, row: Mapping[str, float | int | None], step: int) -> None:
        """Write the row's quantities at this step, without those that are None."""
        if self._writer is None:
            self._writer = self._new_writer(self._folder, purge_step=step)
        for name, value in row.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
