"""What a command says when it cannot be carried out."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

#: Exit code of everything that is the user's to mend.
USAGE_ERROR = 2


class UsageError(Exception):
    """A command that cannot be carried out as typed; the message is one line."""


def warn(message: str) -> None:
    """A remark on stderr."""
    print(f"pyro-vae: {message}", file=sys.stderr)


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint at the known word that is closest, to go after a message.

    >>> did_you_mean("--latnt", ["--latent", "--lr"])
    '; did you mean --latent?'
    """
    match = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {match[0]}?" if match else otherwise
