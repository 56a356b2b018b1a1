"""The folder where data sets are kept, and whole-or-nothing files in it."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

# What numpy and zipfile are known to raise on truncated or altered bytes.
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def cache_folder(cache: str | Path | None = None) -> Path:
    """The folder of the data sets: `cache`, else $PYRO_VAE_DATA, else the platform's own.

    >>> cache_folder("here").name
    'here'
    """
    if cache is not None:
        return Path(cache).expanduser()
    if named := os.environ.get("PYRO_VAE_DATA"):
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("pyro_vae"))


def read_arrays(path: Path, cure: str) -> dict[str, np.ndarray]:
    """All arrays of a .npz file (or of a .npy file, under the name "x"), never a pickle.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; the message ends with `cure`.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"x": loaded}
            with loaded:
                return {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} cannot be read ({reason}): {cure}") from error


def check_arrays(
    where: str | Path, arrays: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Every expected array is there, of its shape, in bytes (uint8).

    Raises:
        ValueError: naming the first array that differs.
    """
    for key, shape in expected.items():
        if key not in arrays:
            raise ValueError(f"{where} has no array {key!r} (it has {', '.join(arrays) or 'none'})")
        found = arrays[key]
        if found.shape != shape or found.dtype != np.uint8:
            raise ValueError(f"{where}: {key!r} is {found.dtype}{found.shape}, not uint8{shape}")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` so that `path` is always absent or whole, whatever interrupts the writing.

    Raises:
        OSError: the folder cannot be written or is full; nothing is left behind.
    """
    # The process id keeps two processes that fetch the same set out of one another's way.
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        # Ctrl-C included: a half-written file is of no use to anybody.
        partial.unlink(missing_ok=True)
        raise
