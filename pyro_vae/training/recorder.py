"""Writes down every tensor operation of one run, and refuses what would not stand for the next.

The operations of one run are the program only if none of them, and no shape, was chosen by a
tensor's value. So a read of a value is refused, unless the value is the same in every run.
"""

from __future__ import annotations

import operator
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from .put_back import PutBack, says_what_it_writes
from .reads import FINITE_CHECKS
from .staging_error import asking, refuse

aten = torch.ops.aten


class Recorder(PutBack):
    """Records operations into ``graph`` while it lets them happen.

    Attributes:
        graph: its inputs are the arguments, then ``captured``.
        captured: tensors that were there before, in the order of first use.
        literals: for each of these, whether it is a constant written in the program.
    """

    def __init__(self, arguments: Sequence[Tensor], lines: bool = False) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.captured: list[Tensor] = []
        self.literals: list[bool] = []
        self._lines = lines
        self._nodes = WeakTensorKeyDictionary()
        self._random = random_state()
        for i, argument in enumerate(arguments):
            self._nodes[argument] = self.graph.placeholder(f"argument_{i}")
        self._top = self.graph.placeholder("unused")  # where the inputs end, until closed

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        func = says_what_it_writes(func, args)
        leaves = tree_leaves((args, kwargs))
        inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        same = self.same(func, inputs)
        if torch.Tag.data_dependent_output in func.tags:
            # Pyro's hooks on gradients, where the mode of `Reads` is not on.
            if asking()[1] in FINITE_CHECKS:
                return False
            if not same:
                raise refuse("a tensor's value is read")
            return func(*args, **kwargs)
        if torch.Tag.dynamic_output_shape in func.tags and not _static_index(func, args):
            raise refuse("a shape depends on a tensor's value")
        drawn = torch.Tag.nondeterministic_seeded in func.tags
        if any(isinstance(leaf, torch.Generator) for leaf in leaves):
            raise refuse("random numbers are drawn from a torch.Generator of the program's own")
        if drawn and not torch.equal(random_state(), self._random):
            raise refuse("random numbers are drawn after the program has seeded them itself")
        self.keep(func, args, kwargs, same)
        node = self._write(func, args, kwargs)
        out = func(*args, **kwargs)
        self.note(func, inputs, out, same)
        if drawn:
            self._random = random_state()
        for place, leaf in _outputs(out):
            self._nodes[leaf] = (
                node if place is None else self.graph.call_function(operator.getitem, (node, place))
            )
        return out

    def close(self, outputs: list[Tensor]) -> fx.GraphModule:
        """The finished graph."""
        self.graph.output([self._node(tensor) for tensor in outputs])
        self.graph.erase_node(self._top)
        self.graph.eliminate_dead_code()
        return fx.GraphModule(torch.nn.Module(), self.graph)

    def _write(self, func: Any, args: Any, kwargs: Any) -> fx.Node:
        literal = func is aten.lift_fresh.default
        if literal and args[0].dim() == 0:
            options = {"dtype": args[0].dtype, "device": args[0].device}
            return self.graph.call_function(aten.full.default, ([], args[0].item()), options)
        nodes = tree_map_only(Tensor, lambda tensor: self._node(tensor, literal), (args, kwargs))
        if literal:
            func = aten.clone.default  # what follows may write into it
        node = self.graph.call_function(func, *nodes)
        if self._lines:
            node.meta["stack_trace"] = "".join(traceback.format_stack())
        return node

    def _node(self, tensor: Tensor, literal: bool = False) -> fx.Node:
        if tensor not in self._nodes:
            with self.graph.inserting_before(self._top):
                self._nodes[tensor] = self.graph.placeholder(f"captured_{len(self.captured)}")
            self.captured.append(tensor)
            self.literals.append(literal)
        return self._nodes[tensor]


def random_state() -> Tensor:
    """The state of torch's random numbers."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return torch.cat(states)


def _outputs(out: Any) -> Iterator[tuple[int | None, Tensor]]:
    if isinstance(out, Tensor):
        yield None, out
    elif isinstance(out, tuple | list):
        yield from ((i, leaf) for i, leaf in enumerate(out) if isinstance(leaf, Tensor))


def _static_index(func: Any, args: tuple[Any, ...]) -> bool:
    masks = (torch.bool, torch.uint8)
    return func is aten.index.Tensor and all(
        index is None or index.dtype not in masks for index in args[1]
    )
