"""How the parameters of a program reach Pyro's param store, in one place.

Stock ``pyro.infer.SVI`` trains what a program registers by ``pyro.param``. The store is global and
keyed by name, so two modules that register the same names share, silently, one set of values: the
second never trains. Here every *instance* has a name of its own (``Model[0]``, ``Model[1]``, ...),
a tensor has one name however many programs use it, and the names go when the instance goes.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import pyro
from pyro.poutine.runtime import am_i_wrapped
from torch import nn

_numbers = itertools.count()
_names: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()


class Program(nn.Module):
    """A model or guide as a module: ``forward`` is the program, nothing else to write.

    Called under inference it registers its trainable parameters, so that stock
    ``pyro.infer.SVI`` and ``pyro.optim`` find them. To write a program of your own::

        class MyModel(Program):
            def __init__(self, prior, likelihood): ...
            def forward(self, x):
                with pyro.plate("data", len(x)):
                    ...

    Frozen parameters (``requires_grad_(False)``) are left alone, and copies (``copy.deepcopy``,
    ``pickle``, ``torch.save``) are instances of their own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_before)

    def __getstate__(self) -> dict[str, Any]:
        # Pyro's store leaves a weak reference at each parameter that it hands out, which cannot be
        # pickled; it is of use during one step alone, and set anew in the next.
        for parameter in self.parameters():
            vars(parameter).pop("unconstrained", None)
        return self.__dict__


def store_name(program: nn.Module) -> str:
    """The prefix of this instance's parameters in Pyro's param store."""
    if program not in _names:
        _names[program] = f"{type(program).__name__}[{next(_numbers)}]"
        weakref.finalize(program, _forget, _names[program]).atexit = False
    return _names[program]


def _before(program: nn.Module, _inputs: Any) -> None:
    register(program)


def register(program: nn.Module) -> None:
    """Register the trainable parameters of a module under its own name, where Pyro looks on."""
    if not am_i_wrapped():
        return
    prefix = store_name(program)
    store = pyro.get_param_store()
    for name, parameter in program.named_parameters():
        # `functional_call` swaps in plain tensors for the time of one call: not ours to store.
        # And the store would set `requires_grad` on a frozen parameter.
        if not isinstance(parameter, nn.Parameter) or not parameter.requires_grad:
            continue
        # The store would keep a contiguous copy, and train that instead of the module's own.
        if not parameter.is_contiguous():
            raise ValueError(
                f"parameter {name!r} of {type(program).__name__} is not contiguous in memory, and "
                "would not train: make it so (`parameter.data = parameter.data.contiguous()`)"
            )
        # A tensor that model and guide share keeps the name under which it came first.
        full = store.param_name(parameter) or f"{prefix}.{name}"
        if full in store and store[full] is not parameter:
            del store[full]  # the module was given new tensors, e.g. load_state_dict(assign=True)
        pyro.param(full, parameter)


def _forget(prefix: str) -> None:
    store = pyro.get_param_store()
    for name in [name for name in store if name.startswith(prefix + ".")]:
        del store[name]
