"""Whether the parameters of two programs would train: the names that they register."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pyro
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn


class ParameterNames(Messenger):
    """Watches ``pyro.param``: what is registered, and which names another tensor already has."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[str, Tensor] = {}
        self.taken: list[str] = []

    def _pyro_param(self, msg: Any) -> None:
        name, store = msg["name"], pyro.get_param_store()
        initial = msg["args"][0] if msg["args"] else None
        # A module's own tensor under a name whose stored value is another tensor: that other one
        # would be trained, while the module computes with its own.
        stored = dict(store.named_parameters()).get(name) if name in store else initial
        if isinstance(initial, nn.Parameter) and stored is not initial:
            self.taken.append(name)

    def _pyro_post_param(self, msg: Any) -> None:
        value = msg["value"]
        unconstrained = getattr(value, "unconstrained", None)
        self.tensors[msg["name"]] = unconstrained() if unconstrained else value


def parameter_problems(
    program: Callable[..., Any], role: str, names: ParameterNames, known: set[int]
) -> Iterator[str]:
    """Names shared with another module; modules that a function uses and nobody registers.

    ``known`` holds the ``id`` of every tensor that either program registered.
    """
    for name in names.taken[:1]:
        yield (
            f"param {name!r} in the {role} already holds another module's values, so this module "
            "would not train: call pyro.clear_param_store() before building it, or rename it"
        )
    for name, module in modules_of(program):
        trainable = [p for p in module.parameters() if p.requires_grad]
        if trainable and not names.taken and not any(id(p) in known for p in trainable):
            yield (
                f"module {name!r} of the {role} is not registered, so its {len(trainable)} "
                f"parameters would not train: call pyro.module({name!r}, ...) in the {role}, or "
                f"derive the {role} from pyro_vae.programs.Program"
            )


def modules_of(program: Callable[..., Any]) -> Iterator[tuple[str, nn.Module]]:
    """The modules that a program is, belongs to, or uses by name, each with that name."""
    owner = getattr(program, "__self__", program)  # of a bound method, `vae.model`
    if isinstance(owner, nn.Module):
        yield type(owner).__name__, owner
        return
    function = inspect.unwrap(getattr(program, "__func__", program))
    if not inspect.isfunction(function):
        return
    seen = inspect.getclosurevars(function)
    for name, value in {**seen.globals, **seen.nonlocals}.items():
        if isinstance(value, nn.Module):
            yield name, value
