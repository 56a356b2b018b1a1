"""``pyro-vae``: the commands, and what happens when one cannot be carried out."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from .errors import USAGE_ERROR, UsageError, did_you_mean

COMMANDS = {
    "train": "train a VAE and leave a run folder",
    "sweep": "a run for each value of an option, in one table",
    "resume": "go on with a run that was interrupted, or for more epochs",
    "evaluate": "ELBO, reconstruction, KL and NLL of a run on its test data",
    "sample": "draw from the model of a run, into a picture or a file",
    "plot": "draw the pictures of a run",
    "explain": "show each site of a run's programs and what it adds to the bound",
    "list": "the parts that one can name, with a line each",
    "data": "the data sets: list them, fetch one",
    "tutorial": "the chapters of the book: list them, run one, copy one to change it",
}

USAGE = """usage: pyro-vae COMMAND [options]

Variational autoencoders as explicit probabilistic programs in Pyro.

commands:
{commands}

Help on a command: pyro-vae COMMAND --help
First steps:       pyro-vae train --data digits
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command; errors are one line on stderr and exit code 2, no traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run a command and return its exit code."""
    if not words or words[0] in ("-h", "--help", "help"):
        lines = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
        print(USAGE.format(commands=lines), end="")
        return 0
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"pyro-vae {version('pyro-vae')}")
        return 0
    if words[0] not in COMMANDS:
        names = ", ".join(COMMANDS)
        hint = did_you_mean(words[0], COMMANDS, f"; choose from {names}")
        print(f"pyro-vae: unknown command {words[0]!r}{hint}", file=sys.stderr)
        return USAGE_ERROR
    try:
        command = importlib.import_module(f"pyro_vae.cli.{words[0]}")
        command.main(words[1:])
    except KeyboardInterrupt as stop:
        # At the end of the words, what to do next, where there is something to go on with.
        print("\n" + ": ".join(["pyro-vae", "interrupted", *map(str, stop.args)]), file=sys.stderr)
        return 130
    except BrokenPipeError:  # `pyro-vae list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:  # the one place where every error becomes a line
        if "--debug" in words:
            traceback.print_exc()
        print(f"pyro-vae {words[0]}: error: {one_line(error)}", file=sys.stderr)
        return USAGE_ERROR
    return 0


#: Errors whose messages are written for who reads them.
_TELLING = (UsageError, ValueError, OSError, TypeError, RuntimeError, ImportError)


def one_line(error: Exception) -> str:
    """What an error says; its kind, too, where the message alone would say little."""
    line = " ".join(str(error).split())
    if line and isinstance(error, _TELLING):
        return line
    if isinstance(error, MemoryError):
        return "the memory is not enough for this"
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
