"""From a recorded graph to something fast that computes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, fx

from .staging_error import Refusal

#: ``"inductor"`` compiles; ``"none"`` runs the recorded operations one by one, without Python's
#: share of the programs and without autograd.
Backend = Literal["inductor", "none"]
BACKENDS = ("inductor", "none")
Compiled = Callable[..., Sequence[Tensor]]


def lower(graph: fx.GraphModule, inputs: list[Tensor], backend: Backend) -> Compiled:
    """A function with the graph's inputs and outputs. Compiled kernels are kept on disk.

    Raises :class:`Refusal` in one line where there is no C++ compiler, or where the compiler
    cannot take one of the operations.
    """
    if backend == "none":
        return graph
    import torch._inductor as inductor  # slow to import
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError) as error:
        raise Refusal(
            "no C++ compiler was found: install g++ or clang, or name one in CXX"
        ) from error
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled: Compiled = inductor.compile(graph, [*inputs])
            return compiled
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        line = "".join(str(error).strip().splitlines()[:1])
        raise Refusal(f"the compiler failed ({type(error).__name__}: {line})") from error
