"""One compiled program: for one shape of the arguments and one state of what programs read."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from .call import Call
from .cuda_graph import CudaGraph
from .lowering import Backend, lower
from .met import Registered
from .owners import Gradients
from .readable import Readable
from .staging import Staged


class Finish(Protocol):
    """What is done with the gradients."""

    @property
    def capturable(self) -> bool:
        """Whether a call can be part of a CUDA graph."""

    def prepare(self) -> bool:
        """Called before each step; True where a captured call still does what is wanted."""

    def tensors(self) -> list[Tensor]:
        """What a call changes besides the parameters."""

    def __call__(self, gradients: Gradients) -> None: ...


class Entry:
    """Runs what was compiled, and knows when it no longer is the program.

    Args:
        staged: the recorded run.
        call: the arguments of that run.
        readable: the Python values that it could read.
        finish: what is done with the gradients; on a GPU in the same graph, where it can be.
    """

    def __init__(
        self, staged: Staged, call: Call, readable: Readable, finish: Finish, backend: Backend
    ) -> None:
        self._staged, self._readable, self._finish = staged, readable, finish
        self._captured = staged.captured
        self._compiled = lower(staged.graph, [*call.tensors, *staged.captured], backend)
        self._on_gpu = any(t.is_cuda for t in (*call.tensors, *staged.captured))
        self._graph: CudaGraph | None = None
        self._layouts = list(map(self._layout, self._captured))
        self._registered = Registered(self._captured)

    def moved(self) -> str | None:
        """Where something that the program reads has become another thing; ``None`` if nothing."""
        for tensor, layout in zip(self._captured, self._layouts, strict=True):
            if self._layout(tensor) != layout:
                return f"a tensor of shape {tuple(tensor.shape)}"
        return self._registered.moved() or self._readable.moved()

    def __call__(self, tensors: list[Tensor]) -> Any:
        """What the programs' own run would return, with the gradients used."""
        stands = self._finish.prepare()
        if not self._on_gpu:
            return self._whole(tensors)
        run = self._whole if self._finish.capturable else self._gradients
        if self._graph is None or not (stands or run == self._gradients):
            changed = [*self._captured, *self._finish.tensors()]
            self._graph = CudaGraph(run, tensors, changed)
        result = self._graph(tensors)
        if run == self._gradients:
            result, gradients = result
            self._finish(gradients)
        return tree_map_only(Tensor, Tensor.clone, result)

    def _gradients(self, tensors: list[Tensor]) -> tuple[Any, list[Tensor | None]]:
        with torch.no_grad():
            return self._staged.unpack(self._compiled(*tensors, *self._captured))

    def _whole(self, tensors: list[Tensor]) -> Any:
        result, gradients = self._gradients(tensors)
        self._finish(gradients)
        return result

    def _layout(self, tensor: Tensor) -> tuple[Any, ...]:
        address = tensor.data_ptr() if self._on_gpu else 0  # a graph holds the memory itself
        return tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad, address
