"""The checkpoint file of a run that goes on."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from .checkpoint import save
from .run import Run


class Keeper:
    """Writes the state of a run to its file, and knows what the file holds.

    Args:
        path: the file; ``None`` to keep nothing. Its folder is made.
        every: epochs from one checkpoint to the next.

    Raises ``OSError``, of the cause's own class, where the file could not be written: now, and
    not after the first epoch.

    Attributes:
        step: that of the state in the file, ``None`` where this run has not written it yet.
    """

    def __init__(self, path: str | os.PathLike[str] | None, every: int = 1) -> None:
        self.path = None if path is None else Path(path)
        self.every = every
        self.step: int | None = None
        if self.path is not None:
            _make_room(self.path)

    def save(self, run: Run) -> None:
        """Write the whole state; on failure the file that was there is untouched."""
        if self.path is None:
            return
        try:
            save(self.path, run.state_dict())
        except OSError as error:
            kept = "" if self.step is None else f"; the file still holds step {self.step}"
            line = f"{error}; training stopped after step {run.step}{kept}"
            raise _of_class(error, line) from error
        self.step = run.step

    def __str__(self) -> str:
        """What one can go back to, as the end of a sentence."""
        return "" if self.step is None else f"; {self.path} holds step {self.step}"


def _make_room(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        line = f"cannot write {path}: {error.strerror or error}"
        raise _of_class(error, line) from error


def _of_class(error: OSError, line: str) -> OSError:
    clear = type(error)(line)
    clear.errno = error.errno
    return clear
