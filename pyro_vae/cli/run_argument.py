"""The argument RUN, and what goes with opening a run."""

from __future__ import annotations

from .parser import Parser


def add_run(parser: Parser) -> None:
    """RUN and --allow."""
    parser.add_argument("run", type=str, metavar="RUN", help="a run folder, as `train` left it")
    parser.add_argument(
        "--allow",
        type=list[str],
        default=[],
        metavar="CLASS",
        help="import this class from outside pyro_vae, where the run uses it",
    )
