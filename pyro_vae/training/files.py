"""Files that are either complete or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only once it is complete and on disk.

    Whatever stops it on the way (a full disk, Ctrl-C), a file that had the name before is
    untouched and no temporary stays behind.

    Raises:
        OSError: of the same class as the cause, one line that names the path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_write(f"{folder}/note.txt") as file:
        ...         _ = file.write(b"whole")
        ...     Path(folder, "note.txt").read_text()
        'whole'
    """
    path = Path(path)
    # In the same folder, since a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        clear = type(error)(f"cannot write {path}: {error.strerror or error}")
        clear.errno = error.errno
        raise clear from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    # The rename itself is on disk only when the folder is. Some network and cloud folders cannot
    # be synced; the file is complete all the same.
    if os.name == "posix":
        with suppress(OSError):
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
