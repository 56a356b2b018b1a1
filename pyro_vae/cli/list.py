"""``pyro-vae list``."""

from __future__ import annotations

from .options import add_debug
from .parser import Parser
from .parts import SLOTS, known_parts, purpose, typed


def main(words: list[str]) -> None:
    """Print the parts with a line each."""
    parser = Parser(
        prog="pyro-vae list",
        usage="pyro-vae list",
        description="The parts that one can name, with a line each.",
    )
    add_debug(parser)
    parser.parse_args(words)
    print(parts_table())
    print(
        "\nThe options of a part: pyro-vae train --likelihood.help Normal\n"
        "A weight that changes: --objective.beta Linear --objective.beta.length 2000 "
        "(or Cosine, Cyclical, Sigmoid, Step)"
    )


def parts_table() -> str:
    """Every part of the package under the option that takes it."""
    blocks = []
    for option, slot in SLOTS.items():
        parts = known_parts(option)
        width = max(map(len, parts))
        lines = [f"  {name:<{width}}  {purpose(part)}" for name, part in parts.items()]
        blocks.append("\n".join([f"--{typed(option)}  {slot.text}", *lines]))
    return "\n\n".join(blocks)
