"""Parsers of the command line: one line for each error, and the way out of it."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import sys
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

#: Exit code of everything that is the user's to mend.
USAGE_ERROR = 2


class UsageError(Exception):
    """A command that cannot be carried out as typed; the message is one line."""


class Parser(ArgumentParser):
    """A jsonargparse parser whose errors are one line on stderr."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # type: ignore[override]
        raise UsageError(one_line(message, self)) from ex


def one_line(message: str, parser: ArgumentParser) -> str:
    """The part of jsonargparse's report that says what is wrong, with the words to type."""
    key = re.search(r'Parser key "([\w.]+)"', message)
    option = f"--{key[1]}: " if key else ""
    refused = re.search(r"Option '([\w.]+)' is not accepted", message)
    if refused and key:
        part = re.search(r"class_path '([\w.]+)'", message)
        known = _init_options(parser, key[1], part[1] if part else "")
        hint = f"; it takes {', '.join(known)}" if known else ""
        name = part[1].rsplit(".", 1)[-1] if part else "this part"
        return f"--{key[1]}.{refused[1]} is not an option of {name}{hint}"
    name = re.search(r"Expected a dot import path string: (\S+)", message)
    if name and key:
        return (
            f"{option}{name[1]!r} is no part by that name; see `pyro-vae list`, or name a class "
            "of yours by its import path, package.module.Class"
        )
    unknown = re.search(r"[Uu]nrecognized arguments?: (.*)", message)
    if unknown:
        close = _closest(unknown[1].split()[0], parser)
        return f"unknown option {unknown[1].split()[0]}{close}"
    lines = [line.strip(" -") for line in message.splitlines() if line.strip(" -:")]
    useful = [line for line in lines if not line.startswith(_NOISE)]
    return option + "; ".join(useful or lines)


_NOISE = (
    "Parser key",
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value type",
    "Expected a <class 'NoneType'>",
    "Problem with given class_path",
)


def _closest(word: str, parser: ArgumentParser) -> str:
    known = [o for action in parser._actions for o in action.option_strings]
    match = difflib.get_close_matches(word.split("=")[0], known, n=1)
    return f"; did you mean {match[0]}?" if match else "; see --help"


def _init_options(parser: ArgumentParser, key: str, path: str) -> list[str]:
    part = find_class(path) or _default_class(parser, key)
    if part is None:
        return []
    names = [n for n in inspect.signature(part.__init__).parameters if n != "self"]
    return [f"--{key}.{name}" for name in names if name not in PROVIDED]


def find_class(path: str) -> Any:
    """The class at an import path, ``None`` where there is none."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None) if module else None
    except ImportError:
        return None


def _default_class(parser: ArgumentParser, key: str) -> Any:
    default = parser.get_defaults().get(key)
    return find_class(default["class_path"]) if default else None


#: Constructor parameters that the command line fills in by itself.
PROVIDED = {"latent", "network", "inputs", "outputs"}


def warn(message: str) -> None:
    """A remark on stderr."""
    print(f"pyro-vae: {message}", file=sys.stderr)
