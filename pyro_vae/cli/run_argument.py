"""The argument RUN, and what goes with opening a run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from .build import Built
from .folder import RunFolder
from .parser import Parser


def add_run(parser: Parser) -> None:
    """RUN and --allow."""
    parser.add_argument("run", type=str, metavar="RUN", help="a run folder, as `train` leaves it")
    parser.add_argument(
        "--allow",
        type=str,
        action="append",
        default=[],
        metavar="CLASS",
        help="import this class from outside pyro_vae, which the run uses; may be repeated",
    )


def add_device(parser: Parser) -> None:
    """--device, for commands that only open a run."""
    parser.add_argument("--device", type=str, default="auto", metavar="NAME", help="cpu, cuda, ...")


def open_run(options: Namespace) -> tuple[RunFolder, Built]:
    """The folder that the options name, and what is in it."""
    folder = RunFolder(Path(options.run))
    return folder, folder.open(tuple(options.allow), options.device)
