"""A program's run as one tensor function: every operation, and every tensor that it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from .call import Call
from .reads import Reads
from .recorder import Recorder
from .rehearsal import unchanged
from .staging_error import Refusal, line_of

_TENSOR = object()


@dataclass
class Staged:
    """``graph(*arguments, *captured)`` is ``[*outputs, *gradients]``, whatever the values are.

    Attributes:
        graph: the operations of one run, forward and backward.
        captured: parameters, buffers and all other tensors that the run read, in the graph's
            order. They are inputs: what changes them in place is seen.
        reached: for each leaf, whether the loss has a gradient there.
    """

    graph: fx.GraphModule
    captured: list[Tensor]
    reached: list[bool]
    _spec: TreeSpec
    _plain: list[Any]
    _literals: list[bool]

    def unpack(self, outputs: Sequence[Tensor]) -> tuple[Any, list[Tensor | None]]:
        """What the program returned, and the gradient of each leaf."""
        values = iter(outputs)
        leaves = [next(values) if plain is _TENSOR else plain for plain in self._plain]
        result = tree_unflatten(leaves, self._spec)
        return result, [next(values) if reached else None for reached in self.reached]

    def difference(self, other: Staged) -> str | None:
        """The first thing that another run of the same program did differently, if any."""
        mine, others = list(self.graph.graph.nodes), list(other.graph.graph.nodes)
        for a, b in zip(mine, others, strict=False):
            if (a.op, str(a.target), str(a.args), str(a.kwargs)) != (
                b.op, str(b.target), str(b.args), str(b.kwargs)
            ):  # fmt: skip
                line = line_of(b.meta.get("stack_trace")) or line_of(a.meta.get("stack_trace"))
                return "two runs differ" + (f", first in {line}" if line else "")
        if len(mine) != len(others) or (self.reached, self._plain) != (other.reached, other._plain):
            return "two runs differ in their length"
        for a, b, literal in zip(self.captured, other.captured, self._literals, strict=True):
            if a is not b and not (literal and torch.equal(a, b)):
                return (
                    f"a tensor of shape {tuple(a.shape)} is made anew, outside torch, in each run"
                )
        return None


def stage(evaluate: Callable[..., Any], call: Call, leaves: Sequence[Tensor]) -> Staged:
    """Run ``evaluate(*args, **kwargs)``, which adds gradients to ``leaf.grad``, and record it.

    It runs twice, on new random numbers, and both records must agree. What the runs change in
    place is put back. Raises :class:`Refusal` where the record would not stand for every run.
    """
    with unchanged(leaves) as hidden:
        first = _record(evaluate, call, leaves)
        different = first.difference(_record(evaluate, call, leaves))
        reason = hidden()
        if different is not None and reason is None:  # once more, slower, to say where
            runs = [_record(evaluate, call, leaves, lines=True) for _ in range(2)]
            reason = runs[0].difference(runs[1]) or different
    if reason is not None:
        raise Refusal(reason)
    return first


def _record(
    evaluate: Callable[..., Any], call: Call, leaves: Sequence[Tensor], lines: bool = False
) -> Staged:
    # Aliases: an argument that the program also holds as a global is not that global.
    inputs = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in call.tensors]
    args, kwargs = call.rebuild(inputs)
    for leaf in leaves:
        leaf.grad = None
    recorder = Recorder(inputs, lines)
    # Without cuDNN a batch norm is the operation that says what it writes; convolutions are not
    # chosen here.
    with torch.backends.cudnn.flags(enabled=False):
        try:
            with Reads(), recorder:
                values, spec = tree_flatten(evaluate(*args, **kwargs))
        finally:
            recorder.put_back()
    gradients = [leaf.grad for leaf in leaves]
    outputs = [value for value in (*values, *gradients) if isinstance(value, Tensor)]
    graph = recorder.close(outputs)
    plain = [_TENSOR if isinstance(value, Tensor) else value for value in values]
    reached = [gradient is not None for gradient in gradients]
    return Staged(graph, recorder.captured, reached, spec, plain, recorder.literals)
