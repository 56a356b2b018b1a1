"""Whether what two programs compute with would train: the parameters that they register."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pyro_vae.terms.site import log_prob


class ParameterNames(Messenger):
    """Watches ``pyro.param``: what is registered, and what was given but not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[str, Tensor] = {}
        #: name of each tensor in whose place the store holds another one, by ``id``
        self.refused: dict[int, str] = {}

    def _pyro_post_param(self, msg: Any) -> None:
        unconstrained = getattr(msg["value"], "unconstrained", None)
        tensor = unconstrained() if unconstrained else msg["value"]
        self.tensors[msg["name"]] = tensor
        given = msg["args"][1] if len(msg["args"]) > 1 else tensor
        if isinstance(given, nn.Parameter) and given is not tensor:
            self.refused[id(given)] = msg["name"].replace("$$$", ".")


def parameter_problems(
    used: dict[int, Tensor], program: Callable[..., Any], role: str, names: ParameterNames
) -> Iterator[str]:
    """Trainable tensors that a program computes with (by ``id``), but nobody registers."""
    for key in [key for key in names.refused if key in used]:
        yield _refusal(names.refused[key], used[key], role)
        return
    for name, module in modules_of(program):
        trainable = {id(p) for p in module.parameters() if p.requires_grad}
        found = trainable & used.keys()
        used = {key: tensor for key, tensor in used.items() if key not in found}
        if found:
            which = "its" if found == trainable else f"{len(found)} of its"
            yield (
                f"module {name!r} of the {role} is not registered, so {which} {len(trainable)} "
                f"parameters would not train: call pyro.module({name!r}, ...) in the {role}, or "
                f"derive the {role} from pyro_vae.programs.Program"
            )
    if used:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in used.values())
        yield (
            f"the {role} computes with trainable tensors that are not registered (shapes {shapes}),"
            " so they would not train: give them to pyro.param or their module to pyro.module, or "
            "freeze them by .requires_grad_(False)"
        )


def _refusal(name: str, tensor: Tensor, role: str) -> str:
    if tensor.is_contiguous():
        return (
            f"param {name!r} in the {role} already holds another module's values, so this module "
            "would not train: call pyro.clear_param_store() before building it, or rename it"
        )
    return (
        f"param {name!r} in the {role} is not contiguous in memory, so the param store holds a "
        "copy of it and the module would not train: set p.data = p.data.contiguous() first"
    )


@contextmanager
def graph_alone() -> Iterator[None]:
    """Record what depends on what, as for a gradient, but keep no activations for it."""
    kept = torch.zeros(())
    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda _: kept),
    ):
        yield


def used_tensors(trace: Trace, except_for: Collection[int]) -> dict[int, Tensor]:
    """The trainable tensors that a trace's values and densities came from, by ``id``."""
    sites: list[Any] = [site for site in trace.nodes.values() if site["type"] == "sample"]
    tensors = [t for site in sites for t in (site["value"], log_prob(site)) if t.requires_grad]
    pending: list[Any] = [t if t.grad_fn is None else t.grad_fn for t in tensors]
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    while pending:
        node = pending.pop()
        leaf = node if isinstance(node, Tensor) else getattr(node, "variable", None)
        if leaf is not None and leaf.requires_grad:
            found[id(leaf)] = leaf
        elif leaf is None and node not in seen:
            seen.add(node)
            pending += [parent for parent, _ in node.next_functions if parent is not None]
    return {key: tensor for key, tensor in found.items() if key not in except_for}


@contextmanager
def untouched_buffers() -> Iterator[None]:
    """Put back what running modules changes in them, such as the statistics of a batch norm."""
    before: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}

    def note(module: nn.Module, _inputs: Any) -> None:
        if module not in before:
            before[module] = [(b, b.clone()) for b in module.buffers(recurse=False)]

    # A function may reach its networks in many ways, but all that runs passes here.
    hook = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        hook.remove()
        with torch.no_grad():
            for buffer, value in (pair for pairs in before.values() for pair in pairs):
                buffer.data.copy_(value)


def modules_of(program: Callable[..., Any]) -> Iterator[tuple[str, nn.Module]]:
    """The modules that a program is, belongs to, or uses by name, each with that name."""
    unwrapped = poutine.unwrap(program)
    program = unwrapped if callable(unwrapped) else program
    while isinstance(program, partial):
        program = program.func
    owner = getattr(program, "__self__", program)  # of a bound method, `vae.model`
    if isinstance(owner, nn.Module):
        yield type(owner).__name__, owner
        return
    used = dict(vars(owner)) if owner is not program else {}
    function = inspect.unwrap(getattr(program, "__func__", program))
    if inspect.isfunction(function):
        seen = inspect.getclosurevars(function)
        used |= {**seen.globals, **seen.nonlocals}
    for name, value in used.items():
        if isinstance(value, nn.Module):
            yield name, value
