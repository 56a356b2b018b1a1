"""``pyro-vae list``."""

from __future__ import annotations

import inspect

from .options import PARTS
from .parser import Parser


def main(words: list[str]) -> None:
    """Print the parts with a line each."""
    parser = Parser(
        prog="pyro-vae list",
        description="The parts that one can name, with a line each. Options: --prior.help NAME.",
    )
    parser.parse_args(words)
    print(parts_table())


def parts_table() -> str:
    """Every part of the package under the option that takes it."""
    blocks = []
    for option, (base, _, text) in PARTS.items():
        parts = concrete_parts(base)
        width = max(len(part.__name__) for part in parts)
        lines = [f"  {part.__name__:<{width}}  {first_line(part)}" for part in parts]
        title = text.split(" (")[0]
        blocks.append("\n".join([f"--{option}  {title}", *lines]))
    return "\n\n".join(blocks)


def concrete_parts(base: type) -> list[type]:
    """The package's own subclasses that one can instantiate, by name."""
    found: set[type] = set()
    pending = [base]
    while pending:
        for kind in pending.pop().__subclasses__():
            pending.append(kind)
            if kind.__module__.startswith("pyro_vae.") and not inspect.isabstract(kind):
                found.add(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def first_line(part: type) -> str:
    """The purpose of a part, as its docstring begins."""
    return (inspect.getdoc(part) or "").split("\n", 1)[0]
