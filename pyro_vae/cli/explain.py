"""``pyro-vae explain RUN``."""

from __future__ import annotations

from pyro_vae.objectives import explain

from .options import add_debug
from .parser import Parser
from .run_argument import add_device, add_run, open_run


def main(words: list[str]) -> None:
    """Print the table of sites."""
    parser = Parser(
        prog="pyro-vae explain",
        usage="pyro-vae explain RUN [options]",
        description="Each site of the two programs, its families, and what it adds to the bound.",
    )
    add_run(parser)
    add_device(parser)
    add_debug(parser)
    options = parser.parse_args(words)
    _, built = open_run(options)
    device = next(built.vae.parameters()).device
    arguments = [argument.to(device) for argument in built.split("train", limit=1000)]
    print(explain(*built.vae, *arguments, objective=built.objective))
