"""Parsers of the command line: one line for each error, and the way out of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from .diagnosis import Diagnosis
from .errors import UsageError
from .help import Help
from .hints import is_plain
from .inner_parts import with_inner_parts
from .parts import SLOTS, import_path, known_parts, options_of

#: Options of one call that are not part of a run.
CALL_OPTIONS = ("config", "out", "overwrite", "pictures", "tensorboard", "json", "debug")


class Parser(ArgumentParser):
    """A jsonargparse parser whose help is short and whose errors are one line."""

    def __init__(self, *, prog: str | None = None, **options: Any) -> None:
        options.setdefault("formatter_class", Help)
        super().__init__(prog=prog, **options)
        self.named = prog is not None
        self._positionals.title = "arguments"

    def format_help(self, *formatter: Any, **options: Any) -> str:
        """The page of ``--help``, with what all commands have at its end."""
        groups: Any = self._action_groups
        groups.sort(key=lambda group: group is self._optionals)
        return super().format_help(*formatter, **options)

    def parse_args(self, args: Sequence[str] = (), *rest: Any, **options: Any) -> Namespace:  # type: ignore[override]
        """The options that the words set; :class:`UsageError` with one line if they do not."""
        if self.named:
            args = in_order(with_inner_parts(in_lists(args)))
        try:
            with warnings.catch_warnings():
                # jsonargparse warns of modules such as os; that they hold no part is told below.
                warnings.simplefilter("ignore", DeprecationWarning)
                return super().parse_args(in_order(spelt_out(args)), *rest, **options)
        except (UsageError, UnicodeDecodeError):
            # The parser's own report is about Python's types; look at the words themselves. What
            # jsonargparse makes of this class, for a part's options, sees but some of them.
            if self.named:
                Diagnosis(self).of_words(args)
            raise

    def dump(self, cfg: Namespace, **options: Any) -> str:
        """The options that make the run, as YAML."""
        kept = Namespace({k: v for k, v in vars(cfg).items() if k not in CALL_OPTIONS})
        return super().dump(kept, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UsageError(without_jargon(message)) from ex


def in_order(words: Sequence[str]) -> list[str]:
    """The words with --config first and the options of parts last, wherever they were typed.

    So what is typed goes before what a file says, and a part is named before it is configured.

    >>> in_order(["--prior.rank", "2", "--prior", "Mine", "--config", "run.yaml"])
    ['--config', 'run.yaml', '--prior', 'Mine', '--prior.rank', '2']
    """
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)

    def rank(group: list[str]) -> int:
        name = group[0].partition("=")[0].removeprefix("--")
        slot, *inner = name.split(".")
        return 0 if name == "config" else 1 + len(inner) * (slot in SLOTS)

    return [word for group in sorted(groups, key=rank) for word in group]


def in_lists(words: Sequence[str]) -> list[str]:
    """The words with several values of one option of a part as the list that they are.

    >>> in_lists(["--program.layers", "32", "16", "--encoder.hidden", "[8]", "--seed", "1"])
    ['--program.layers', '[32,16]', '--encoder.hidden', '[8]', '--seed', '1']
    """
    result: list[str] = []
    values: list[str] = []
    for word in [*words, "--"]:
        if not word.startswith("--"):
            values.append(word)
            continue
        slot, dot, _ = (result[-1] if result else "").removeprefix("--").partition(".")
        several = len(values) > 1 and dot and slot in SLOTS and "=" not in result[-1]
        result += [f"[{','.join(values)}]"] if several else values
        result.append(word)
        values = []
    return result[:-1]


def spelt_out(words: Sequence[str]) -> list[str]:
    """The words with short names of parts within parts as import paths.

    >>> spelt_out(["--posterior.base", "StudentT", "--data", "StudentT"])
    ['--posterior.base', 'pyro_vae.posteriors.StudentT', '--data', 'StudentT']
    """
    result: list[str] = []
    for word in words:
        slot, dot, name = (result[-1] if result else "").removeprefix("--").partition(".")
        if dot and slot in SLOTS and word in known_parts(slot) and _takes_part(slot, name):
            word = import_path(known_parts(slot)[word])
        result.append(word)
    return result


def _takes_part(slot: str, name: str) -> bool:
    every = (options_of(kind).get(name) for kind in known_parts(slot).values())
    return any(option is not None and not is_plain(option.hint) for option in every)


def without_jargon(message: str) -> str:
    """A parser's report in one line, for what the diagnosis does not know."""
    key = re.search(r'(?:Parser key|[Kk]ey) "([\w.]+)"', message)
    lines = [line.strip(" -") for line in message.splitlines() if line.strip(" -:")]
    useful = [line for line in lines if not line.startswith(_NOISE)] or lines[-1:]
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", "; ".join(useful))
    return f"--{key[1]}: {text}" if key else text


_NOISE = ("Parser key", "Does not validate", "Subtypes:", "Errors:", "Given value", "Expected a")
