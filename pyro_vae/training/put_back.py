"""A run whose writes into tensors that were there before can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten


class PutBack(TorchDispatchMode):
    """While it is on, running means and the like change; ``put_back`` gives them back their values.

    It also follows which of the tensors that the run makes are the same in every run: those that
    come from nothing but the program's own constants.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[StorageWeakRef, bool] = {}  # memory of this run: same in every run?
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        func = says_what_it_writes(func, args)
        inputs = list(_tensors((args, kwargs)))
        same = self.same(func, inputs)
        self.keep(func, args, kwargs, same)
        out = func(*args, **kwargs)
        self.note(func, inputs, out, same)
        return out

    def same(self, func: Any, inputs: Iterable[Tensor]) -> bool:
        """Whether what the operation gives is the same in every run."""
        if func is aten.lift_fresh.default:  # a constant written in the program
            return True
        drawn = torch.Tag.nondeterministic_seeded in func.tags
        return not drawn and all(self._made.get(_memory(tensor), False) for tensor in inputs)

    def keep(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], same: bool) -> None:
        """Before the operation: keep what it will overwrite."""
        for i, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            for tensor in _tensors(args[i] if i < len(args) else kwargs.get(argument.name)):
                memory = _memory(tensor)
                if memory in self._made:
                    self._made[memory] &= same
                else:
                    self._before.append((tensor, tensor.detach().clone()))

    def note(self, func: Any, inputs: Iterable[Tensor], out: Any, same: bool) -> None:
        """After the operation: new memory is the run's own; views are of the memory they view."""
        old = set() if func is aten.lift_fresh.default else set(map(_memory, inputs))
        for tensor in _tensors(out):
            if _memory(tensor) not in old:
                self._made[_memory(tensor)] = same

    def put_back(self) -> None:
        """Undo what was written."""
        with torch.no_grad():
            for tensor, before in reversed(self._before):
                tensor.copy_(before)
        self._before.clear()


def says_what_it_writes(func: Any, args: tuple[Any, ...]) -> Any:
    """A batch norm's schema is silent on the running means; there is another that is not."""
    if func is aten.native_batch_norm.default and args[3] is not None:
        return aten._native_batch_norm_legit.default
    return func


def _memory(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
