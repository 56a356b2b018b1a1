"""The modules that two programs run, whoever holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pyro_vae.objectives import modules_of


@contextmanager
def called_modules() -> Iterator[list[nn.Module]]:
    """Collect the modules that run inside, and put back the buffers that running them changes.

    A function may reach its networks by other functions, lists or dicts, where no look at its
    names finds them; what runs cannot hide. The list is complete at the end, in order of the
    first call, without modules that are part of another one in it.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    >>> with called_modules() as found:
    ...     _ = net(torch.randn(8, 2))
    >>> found[0] is net, len(found), net[1].running_mean
    (True, 1, tensor([0., 0.]))
    """
    found: list[nn.Module] = []
    before: list[tuple[nn.Module, str, Tensor, Tensor]] = []
    seen: set[nn.Module] = set()

    def note(module: nn.Module, _inputs: Any) -> None:
        if module not in seen:
            seen.add(module)
            found.append(module)
            for name, buffer in module.named_buffers(recurse=False):
                before.append((module, name, buffer, buffer.clone()))

    hook = register_module_forward_pre_hook(note)
    try:
        yield found
    finally:
        hook.remove()
        inner = {part for module in found for part in module.modules() if part is not module}
        found[:] = [module for module in found if module not in inner]
        with torch.no_grad():
            for module, name, buffer, value in before:
                # The buffer itself, too: a module may have put another tensor in its place.
                setattr(module, name, buffer.copy_(value) if buffer.shape == value.shape else value)


@contextmanager
def evaluation_mode(*programs: Callable[..., Any]) -> Iterator[None]:
    """Every module that the programs run in evaluation mode, and then put back as it was.

    Thus dropout is off and batch norm uses, and keeps, the statistics that it has.

    >>> dropout = nn.Dropout(0.9)
    >>> with evaluation_mode(lambda x: dropout(x)):
    ...     dropout(torch.ones(3))
    tensor([1., 1., 1.])
    >>> dropout.training
    True
    """
    with ExitStack() as stack:

        def calm(module: nn.Module, _inputs: Any = None) -> None:
            if module.training:
                stack.callback(setattr, module, "training", True)
                module.training = False

        for program in programs:
            for _, module in modules_of(program):
                for part in module.modules():
                    calm(part)
        # What functions call besides is met when it runs.
        stack.callback(register_module_forward_pre_hook(calm).remove)
        yield
