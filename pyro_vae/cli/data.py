"""``pyro-vae data list`` and ``pyro-vae data fetch NAME``."""

from __future__ import annotations

import textwrap
from typing import Literal

from pyro_vae import data

from .errors import UsageError
from .help import width
from .options import add_debug
from .parser import Parser


def main(words: list[str]) -> None:
    """List the data sets, or fetch one into the cache."""
    parser = Parser(
        prog="pyro-vae data",
        usage="pyro-vae data list\n       pyro-vae data fetch NAME",
        description="List the data sets, or fetch one into the cache folder ($PYRO_VAE_DATA).",
    )
    add = parser.add_argument
    add("action", type=Literal["list", "fetch"], metavar="list|fetch", help="what to do")
    add("name", type=str, nargs="?", metavar="NAME", help="with fetch: which set")
    add_debug(parser)
    options = parser.parse_args(words)
    if options.action == "list":
        if options.name is not None:
            raise UsageError(f"unexpected {options.name!r}: `pyro-vae data list` lists all")
        print(listed())
        return
    if options.name is None:
        raise UsageError(f"fetch what? One of {', '.join(data.names())}")
    path = data.fetch(options.name)
    print(f"{options.name} is built in: there is nothing to fetch" if path is None else path)


def listed() -> str:
    """The table of data sets, in the width of the page, and where they are kept."""
    header, *rows = data.describe().splitlines()
    column = header.index("what")
    lines = [header]
    for row in rows:
        what = textwrap.wrap(row[column:], max(width() - column, 24))
        lines += [row[:column] + what[0], *(" " * column + more for more in what[1:])]
    return "\n".join([*lines, "", f"cache folder: {data.cache_folder()}"])
