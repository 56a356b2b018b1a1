"""A run that gives way to another one, but not before that one has something to show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def set_aside(files: Sequence[Path], keep_new: Path) -> Iterator[None]:
    """Move files and folders out of the way, and back again unless ``keep_new`` comes to exist.

    They wait in ``.replaced`` beside them, where even a killed process leaves them.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     old = Path(folder, "weights")
    ...     _ = old.write_text("old")
    ...     with set_aside([old], keep_new=old):
    ...         old.exists()
    ...     old.read_text()
    False
    'old'
    """
    aside = keep_new.parent / ".replaced"
    for file in filter(Path.exists, files):
        aside.mkdir(exist_ok=True)
        file.rename(aside / file.name)
    try:
        yield
    finally:
        if not keep_new.exists():
            for file in files:
                _remove(file)
                if (aside / file.name).exists():
                    (aside / file.name).rename(file)
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
