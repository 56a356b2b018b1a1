"""Programs that cannot be run: one line for each failure, with the site and the cure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

#: What a program that is given the wrong thing raises, from Pyro, PyTorch or Python.
FAILURES = (
    ValueError,
    RuntimeError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)

_PLATE = re.compile(
    r"Shape mismatch inside plate\('(?P<plate>.*)'\) at site (?P<site>.*) dim (?P<dim>-\d+), "
    r"(?P<size>\d+) vs (?P<got>\d+)"
)
_TWICE = re.compile(r"Multiple \w+ sites named '(?P<site>.*)'")
_HINTS = {
    r"dtype|scalar type": "convert the data (x.float()) or the programs (.double())",
    r"same device": "move data and programs to one device with .to(device)",
    r"objects cannot be broadcast": "a mask of single entries goes before the event, "
    "dist.Bernoulli(...).mask(m).to_event(1)",
    r"recursion depth": "a part of the programs uses itself, as a VampPrior of a posterior does "
    "that uses the model (SemiAmortized, Hamiltonian); give it another one",
}


def argument_problems(
    model: Callable[..., Any], guide: Callable[..., Any], args: tuple[Any, ...]
) -> Iterator[str]:
    """What can be told without a run: no programs, or no data."""
    for role, program in (("model", model), ("guide", guide)):
        if isinstance(program, type):
            yield f"the {role} is the class {program.__name__}: make one, {program.__name__}(...)"
        elif not callable(program):
            yield f"the {role} is {program!r}: give a function or module to be called on the data"
    for tensor in args:
        if isinstance(tensor, Tensor) and tensor.dim() and not len(tensor):
            yield f"the data are empty, of shape {tuple(tensor.shape)}: give at least one example"


def failure(error: Exception, role: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """One line for what a program raised."""
    line = first_line(error)
    mismatch, twice = _PLATE.match(line), _TWICE.match(line)
    if mismatch:
        return _mismatch(mismatch, role, examples(args))
    if twice:
        return (
            f"the {role} has two sites named {twice['site']!r}: give each its own name, and make "
            'a plate once, data = pyro.plate("data", len(x)), to enter it twice'
        )
    hints = "".join(f"; {cure}" for sign, cure in _HINTS.items() if re.search(sign, line))
    given = [_in_words(value) for value in (*args, *kwargs.values())]
    return f"the {role} cannot run on {' and '.join(given) or 'no arguments'}: {line}{hints}"


def first_line(error: Exception) -> str:
    """What an error says: Pyro appends the shapes of every site below."""
    return next(iter(str(error).strip().splitlines()), "") or repr(error)


def examples(args: tuple[Any, ...]) -> int | None:
    """How many examples the first tensor among the arguments holds."""
    return next((len(a) for a in args if isinstance(a, Tensor) and a.dim()), None)


def _mismatch(found: re.Match[str], role: str, batch: int | None) -> str:
    plate, size, got = found["plate"], found["size"], found["got"]
    cure = "move the dimensions of one example into the event with .to_event(1)"
    if got == str(batch):
        cure = f"make the plate as long as the data, pyro.plate({plate!r}, len(x))"
    return (
        f"site {found['site']!r} in the {role} has size {got} at batch dimension {found['dim']}, "
        f"where plate {plate!r} has {size}: {cure}"
    )


def _in_words(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"data of shape {tuple(value.shape)}"
    return f"an argument of type {type(value).__name__}"
