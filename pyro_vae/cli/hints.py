"""Types of options, in words that one can read without knowing Python's."""

from __future__ import annotations

import importlib
import inspect
import json
import types
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentParser

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}
_MANY = {int: "whole numbers, like [400, 200]", float: "numbers, like [0.5, 2]", str: "words"}


class Misfit(Exception):
    """A value that is not of its option's type."""


def in_words(hint: Any) -> str:
    """What an option takes.

    >>> in_words(float | Literal["shared", "per-dimension"] | None)
    "a number, 'shared' or 'per-dimension'"
    >>> in_words(Sequence[int])
    'a list of whole numbers, like [400, 200]'
    """
    words = list(dict.fromkeys(_alternatives(hint)))
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def refusal(option: str, hint: Any, value: Any) -> str:
    """Why an option does not take a value.

    >>> refusal("--epochs", int, "x")
    "--epochs takes a whole number, not 'x'"
    >>> refusal("--kl", Literal["analytic", "sampled"], "foo")
    "--kl: 'foo' is not one of analytic, sampled"
    """
    shown = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    if get_origin(hint) is Literal:
        return f"{option}: {shown} is not one of {', '.join(map(str, get_args(hint)))}"
    known = [k.__name__ for base in _classes(hint) for k in _below(base) if _public(k)]
    listed = f"; choose from {', '.join(known)}" if known and get_origin(hint) in UNIONS else ""
    return f"{option} takes {in_words(hint)}, not {shown}{listed}"


def adapt(hint: Any, value: Any, typed: bool) -> Any:
    """The value as its type has it: ``"5"`` is 5 where it was ``typed`` as a word.

    Raises :class:`Misfit` where it is not of the type. Types that would import something to
    find out are let through.

    >>> adapt(int | None, "5", typed=True), adapt(str, "5", typed=True)
    (5, '5')
    """
    if not is_plain(hint):
        if isinstance(value, str) and not _may_stand(hint, value):
            raise Misfit(value)
        return value
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        if typed:
            return parser.parse_args([f"--value={value}"]).value
        return parser.parse_object({"value": value}).value
    except ArgumentError as error:
        raise Misfit(str(error)) from error


def named_class(hint: Any, value: Any) -> type | None:
    """The class of which an option takes an object, by its name.

    >>> from pyro_vae.schedules import Linear, Schedule
    >>> named_class(float | Schedule, "Linear") is Linear, named_class(float | Schedule, "2")
    (True, None)
    """
    kinds = [kind for base in _classes(hint) for kind in _below(base)]
    return next((kind for kind in kinds if kind.__name__ == value), None)


def is_path(value: str) -> bool:
    """Whether a word may be the import path of a class.

    >>> is_path("my.schedules.Steps"), is_path("1.2.3")
    (True, False)
    """
    first, *others = value.split(".")
    return bool(others) and all(map(str.isidentifier, (first, *others)))


def _may_stand(hint: Any, value: str) -> bool:
    """Whether a word may be one of what an option takes that takes more than plain values."""
    if get_origin(hint) not in UNIONS or not _classes(hint) or is_path(value) or value[:1] == "{":
        return True
    for part in filter(is_plain, get_args(hint)):
        try:
            adapt(part, value, typed=True)
            return True
        except Misfit:
            continue
    others = [part for part in get_args(hint) if not is_plain(part)]
    return len(others) > len(_classes(hint)) or named_class(hint, value) is not None


def _classes(hint: Any) -> list[type]:
    return [k for k in get_args(hint) if isinstance(k, type) and not is_plain(k)]


def _public(kind: type) -> bool:
    package = importlib.import_module(kind.__module__.rpartition(".")[0] or kind.__module__)
    return not inspect.isabstract(kind) and kind.__name__ in getattr(package, "__all__", ())


def _below(kind: type) -> list[type]:
    below: list[type] = kind.__subclasses__()
    return [kind, *(found for child in below for found in _below(child))]


def is_plain(hint: Any) -> bool:
    """Whether a type is of numbers, words and lists of them alone."""
    if get_origin(hint) is Literal:
        return True
    if hint in (int, float, bool, str, type(None), Ellipsis, list, tuple, dict, Sequence):
        return True
    return get_origin(hint) in _GENERIC and all(map(is_plain, get_args(hint)))


UNIONS = (Union, types.UnionType)
_GENERIC = (*UNIONS, list, tuple, dict, Sequence)


def _alternatives(hint: Any) -> list[str]:
    if hint is type(None):
        return []
    origin, inner = get_origin(hint), get_args(hint)
    if origin in UNIONS:
        return [word for part in inner for word in _alternatives(part)]
    if origin is Literal:
        return [repr(value) for value in inner]
    if origin is type:
        return [f"the name of a {inner[0].__name__}"]
    if origin in (list, tuple, Sequence):
        return [f"a list of {_MANY.get(inner[0], 'values')}"]
    if origin in (dict, Mapping):
        example = '{"z": "stl"}' if str in get_args(inner[1]) else '{"z1": 0.5}'
        return [f"one for each site, like '{example}'"]
    name = str(getattr(hint, "__name__", hint))
    return [_WORDS.get(hint) or f"{'an' if name[0] in 'AEIO' else 'a'} {name}"]
