"""A run on the GPU as one CUDA graph: one launch, with no Python between its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_WARM_UP = 3  # runs before the capture, so that libraries choose their kernels outside it


class CudaGraph:
    """Replays ``run(arguments)`` on buffers of its own; what it changes, it changes in place.

    Args:
        run: launches kernels, and neither waits for the device nor reads from it.
        arguments: an example.
        changed: every tensor that it may change in place.

    The warm-up runs leave no trace: what they change is put back, and so are the random numbers.
    The result is overwritten by the next replay.
    """

    def __init__(
        self, run: Callable[[list[Tensor]], Any], arguments: list[Tensor], changed: list[Tensor]
    ) -> None:
        self._arguments = [argument.detach().clone() for argument in arguments]
        before = [tensor.detach().clone() for tensor in changed]
        numbers = torch.cuda.get_rng_state()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                run(self._arguments)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.no_grad():
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)
        torch.cuda.set_rng_state(numbers)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = run(self._arguments)

    def __call__(self, arguments: list[Tensor]) -> Any:
        """Run on these arguments."""
        for own, given in zip(self._arguments, arguments, strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._result
