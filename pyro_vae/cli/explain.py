"""``pyro-vae explain RUN``."""

from __future__ import annotations

from pathlib import Path

from pyro_vae.objectives import explain

from .folder import RunFolder
from .parser import Parser
from .run_argument import add_run


def main(words: list[str]) -> None:
    """Print the table of sites."""
    parser = Parser(
        prog="pyro-vae explain",
        description="Each site of the two programs, its families, and what it adds to the bound.",
    )
    add_run(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(words)
    built = RunFolder(Path(options.run)).open(tuple(options.allow))
    x = built.dataset.test[:1000]
    print(explain(built.vae.model, built.vae.guide, x, objective=built.objective))
