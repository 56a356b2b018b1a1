"""``pyro-vae plot RUN``."""

from __future__ import annotations

from .options import add_debug
from .parser import Parser
from .pictures import draw
from .run_argument import add_device, add_run, open_run


def main(words: list[str]) -> None:
    """Draw the pictures of a run again."""
    parser = Parser(
        prog="pyro-vae plot",
        usage="pyro-vae plot RUN [options]",
        description="Draw the pictures of a run into its folder, and print their names.",
    )
    add_run(parser)
    add_device(parser)
    add_debug(parser)
    for picture in draw(*open_run(parser.parse_args(words))):
        print(picture)
