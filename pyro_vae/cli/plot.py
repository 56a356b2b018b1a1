"""``pyro-vae plot RUN``."""

from __future__ import annotations

from pathlib import Path

from .folder import RunFolder
from .parser import Parser
from .pictures import draw
from .run_argument import add_run


def main(words: list[str]) -> None:
    """Draw the pictures of a run again."""
    parser = Parser(prog="pyro-vae plot", description="Draw the pictures of a run.")
    add_run(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(words)
    folder = RunFolder(Path(options.run))
    for picture in draw(folder, folder.open(tuple(options.allow))):
        print(picture)
