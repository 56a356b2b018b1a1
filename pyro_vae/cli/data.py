"""``pyro-vae data list`` and ``pyro-vae data fetch NAME``."""

from __future__ import annotations

from pyro_vae import data

from .parser import Parser, UsageError


def main(words: list[str]) -> None:
    """List the data sets, or fetch one into the cache."""
    parser = Parser(
        prog="pyro-vae data", description="List the data sets, or fetch one into the cache folder."
    )
    parser.add_argument("action", type=str, choices=["list", "fetch"], help="what to do")
    parser.add_argument("name", type=str, nargs="?", help="with fetch: which set")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(words)
    if options.action == "list":
        print(data.describe())
        return
    if options.name is None:
        raise UsageError(f"fetch what? One of {', '.join(data.names())}")
    path = data.fetch(options.name)
    print(f"{options.name} is built in" if path is None else path)
