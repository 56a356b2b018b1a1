"""Runs of the programs after which everything is as before, except what they find out once."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
from torch import Tensor

from pyro_vae.terms import untouched_randomness

from .call import Call
from .put_back import PutBack
from .staging_error import Refusal

#: What a program can raise that is handed a tensor where it expects a number.
_MISFITS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


def rehearse(evaluate: Callable[..., Any], call: Call, leaves: Sequence[Tensor]) -> None:
    """Run once, so that what programs and bounds find out at their first run is known."""
    mode = PutBack()
    args, kwargs = call.rebuild(call.tensors)
    with unchanged(leaves), mode:
        try:
            evaluate(*args, **kwargs)
        finally:
            mode.put_back()


@contextmanager
def unchanged(leaves: Sequence[Tensor]) -> Iterator[Callable[[], str | None]]:
    """Runs without a trace: gradients, random numbers and the param store are put back.

    Gives a function that says what the runs so far did that a record of them would not show.
    Raises :class:`Refusal` for what a program raises.
    """
    gradients = [leaf.grad for leaf in leaves]
    params = dict(pyro.get_param_store().named_parameters())
    numbers = _other_numbers()

    def hidden() -> str | None:
        name = _replaced(params)
        if name is not None:
            return f"param {name!r} is replaced by every run"
        if _other_numbers() != numbers:
            return "random numbers are drawn outside torch: draw with torch, or pyro.sample"
        return None

    try:
        with untouched_randomness(), pyro.validation_enabled(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # eager runs have shown them
            yield hidden
    except _MISFITS as error:
        line = "".join(str(error).strip().splitlines()[:1])
        raise Refusal(f"{type(error).__name__}: {line}") from error
    finally:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        if _replaced(params) is not None:
            _restore(params)


def _other_numbers() -> tuple[Any, ...]:
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return random.getstate(), state["state"]["pos"], state["state"]["key"].tobytes()


def _replaced(params: dict[str, Tensor]) -> str | None:
    now = dict(pyro.get_param_store().named_parameters())
    # One that is gone was a module's that nobody holds any more: garbage may be collected here.
    return next((n for n in now if now[n] is not params.get(n)), None)


def _restore(params: dict[str, Tensor]) -> None:
    store = pyro.get_param_store()
    state = store.get_state()
    store.clear()
    kept = {name: tensor for name, tensor in params.items() if name in state["constraints"]}
    constraints = {name: state["constraints"][name] for name in kept}
    store.set_state({"params": kept, "constraints": constraints})
