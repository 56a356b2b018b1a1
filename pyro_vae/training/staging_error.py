"""Why a program cannot be staged, and on which of its lines."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from pathlib import Path
from types import FrameType

import pyro
import torch

from .errors import TrainingError


class StagingError(TrainingError):
    """A program cannot be compiled: the message names the site or the source line, and the cure."""


class Refusal(Exception):
    """Raised while a program is staged. Not a ``RuntimeError``: Pyro rewrites those."""


_LIBRARIES = tuple(
    str(folder)
    for folder in (
        Path(torch.__file__).parent,
        Path(pyro.__file__).parent,
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        Path(__file__).parent.parent,
    )
)


class Unsettled(Refusal):
    """What was known of the programs is no longer so: another eager run may settle it."""


#: Whose lines are named where none of the program's own is running.
_SPOKEN_OF = ("pyro.", "pyro_vae.")


def is_library(filename: str) -> bool:
    """Whether a source file belongs to a library, not to somebody's program."""
    return filename.startswith((*_LIBRARIES, "<frozen", "<eval_with_key"))


def asking() -> tuple[str, str]:
    """Module and name of the function that the running operation is called from."""
    frame = sys._getframe(1)
    while _module(frame).startswith(("torch.", str(__package__))) and frame.f_back is not None:
        frame = frame.f_back
    return _module(frame), frame.f_code.co_name


def refuse(what: str) -> Refusal:
    """A refusal that says what the running line does, at which site."""
    frame: FrameType | None = sys._getframe(1)
    line, library_line, site = None, None, None
    while frame is not None and frame.f_code.co_name != "_record":
        filename = frame.f_code.co_filename
        if not is_library(filename):
            line = line or _line(filename, frame.f_lineno)
        elif _module(frame).startswith(_SPOKEN_OF) and not _module(frame).startswith(__package__):
            library_line = library_line or _line(filename, frame.f_lineno)
        if site is None and (_module(frame), frame.f_code.co_name) == ("pyro.primitives", "sample"):
            site = frame.f_locals.get("name")
        frame = frame.f_back
    line = line or library_line
    parts = [what]
    if site is not None:
        parts.append(f"at site {site!r}")
    if line is not None:
        parts.append(f"in {line}")
    return Refusal(" ".join(parts))


def line_of(stack: str | None) -> str | None:
    """The innermost line of somebody's program in a printed stack."""
    found = None
    for entry in (stack or "").splitlines():
        parts = entry.strip().split('"')
        if parts[0] == "File " and len(parts) == 3 and not is_library(parts[1]):
            number = int(parts[2].split("line ")[1].split(",")[0])
            found = _line(parts[1], number)
    return found


def _line(filename: str, number: int) -> str:
    source = linecache.getline(filename, number).strip()
    return f"{Path(filename).name}:{number}" + (f" `{source}`" if source else "")


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
