"""The modules that two programs run, whoever holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pyro_vae.checks import modules_of


@contextmanager
def called_modules() -> Iterator[list[nn.Module]]:
    """Collect the modules that run inside, in order of the first call.

    A function may reach its networks by other functions, lists or dicts, where no look at its
    names finds them; what runs cannot hide. At the end the list holds no module that is part of
    another one in it.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    >>> with called_modules() as found:
    ...     _ = net(torch.zeros(1, 2))
    >>> found == [net]
    True
    """
    found: dict[nn.Module, None] = {}
    outermost: list[nn.Module] = []
    hook = register_module_forward_pre_hook(lambda module, _: found.setdefault(module))
    try:
        yield outermost
    finally:
        hook.remove()
        inner = {part for module in found for part in module.modules() if part is not module}
        outermost += [module for module in found if module not in inner]


@contextmanager
def evaluation_mode(*programs: Callable[..., Any]) -> Iterator[None]:
    """Every module that the programs run in evaluation mode, and then put back as it was.

    Thus dropout is off and batch norm uses, and keeps, the statistics that it has.

    >>> import torch
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
