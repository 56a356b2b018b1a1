"""How many samples one pass can hold within a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pyro_vae.checks.failures import FAILURES
from pyro_vae.terms import untouched_randomness

#: Budgets in bytes. On a CPU the fastest passes are those that stay near its caches (measured:
#: larger ones are up to twice as slow); a GPU wants many samples at once.
CPU_MEMORY = 32 * 2**20
GPU_MEMORY = 2**30

#: How many tensors as large as the largest live at once, the log-probability's own included.
_ALIVE = 4


@dataclass(frozen=True)
class Capacity:
    """What one pass can hold.

    Attributes:
        pairs: how many (particle, example) pairs fit in the budget, at least 1.
        divisible: whether the programs can run on some of the examples; those with parameters
            for each example cannot.
    """

    pairs: int
    divisible: bool

    def rows(self, n: int) -> int:
        """Examples in a pass of one particle."""
        return min(n, self.pairs) if self.divisible else n

    def cut(self, n: int, particles: int, chunk: int | None = None) -> tuple[int, int]:
        """``(examples, particles)`` of one pass, by default as many particles as fit.

        >>> Capacity(pairs=1000, divisible=True).cut(n=50, particles=1800)
        (1, 900)
        >>> Capacity(pairs=1000, divisible=True).cut(n=50, particles=100)
        (10, 100)
        """
        if chunk is None and not self.divisible:
            chunk = n
        most = self.pairs if chunk is None else max(1, self.pairs // min(n, chunk))
        size = -(-particles // -(-particles // most))  # passes of equal size
        return min(n, chunk or max(1, self.pairs // size)), size


def capacity(
    run: Callable[..., Any], arguments: Sequence[Tensor], memory: int | None = None
) -> Capacity:
    """Measure a small pass of ``run(*arguments)``: the bytes that one more example takes.

    What does not grow with the examples (a prior's own network, say) does not count.
    """
    n = len(arguments[0])
    try:
        large = _sizes(run, [argument[:4] for argument in arguments])
        small = _sizes(run, [argument[:2] for argument in arguments])
        if len(large) != len(small):  # a first pass may do what later ones need not
            with untouched_randomness(0):
                large = _sizes(run, [argument[:4] for argument in arguments])
        rows, divisible = min(n, 4), True
    except FAILURES:
        # Perhaps they have parameters for each example.
        rows, divisible, small = n, False, []
        try:
            large = _sizes(run, arguments)
        except FAILURES:
            return Capacity(1, False)  # a fault, which the run proper tells
    if rows == 4 and len(large) == len(small):
        cost = max((b - a for a, b in zip(small, large, strict=True)), default=0) / 2
    else:
        cost = max(large, default=0) / rows
    if memory is None:
        memory = CPU_MEMORY if arguments[0].device.type == "cpu" else GPU_MEMORY
    return Capacity(max(1, int(memory / (_ALIVE * max(cost, 1)))), divisible)


class _Sizes(TorchFunctionMode):
    """Notes the bytes of every result of every torch function."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                # A view that repeats what it sees, as a plate's expanded prior does, holds no more.
                held = tensor.untyped_storage().nbytes()
                self.bytes.append(min(tensor.numel() * tensor.element_size(), held))
        return result


def _sizes(run: Callable[..., Any], arguments: Sequence[Tensor]) -> list[int]:
    with torch.no_grad(), _Sizes() as sizes:
        run(*arguments)
    return sizes.bytes
