"""Derivatives by way of the guide's samples and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass
class Graph:
    """What is followed backwards, on the side of the graph that autograd knows."""

    rows: list[Tensor]  # values
    outputs: list[Tensor]  # the same numbers, with the graph that is differentiated
    groups: list[list[Tensor]]  # samples of each trace
    leaves: list[Tensor]  # the same samples, cut off; none where ``outputs`` uses them uncut


class Through(torch.autograd.Function):
    """Hands each sample the derivative that is its own, and no parameter any."""

    @staticmethod
    def forward(ctx: Any, graph: Graph, *samples: Tensor) -> tuple[Tensor, ...]:
        ctx.graph = graph
        return tuple(row.detach().clone() for row in graph.rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        graph: Graph = ctx.graph
        samples = [value for group in graph.groups for value in group]
        pairs = zip(graph.outputs, gradients, strict=True)
        used = [(output, gradient) for output, gradient in pairs if output.requires_grad]
        if not used:
            return (None, *(None for _ in samples))
        found = _grad([o for o, _ in used], [*graph.leaves, *samples], [g for _, g in used])
        own, total = found[: len(graph.leaves)], found[len(graph.leaves) :]
        partial: list[Tensor | None] = []
        for group in graph.groups:
            partial += _partial(group, total[len(partial) : len(partial) + len(group)])
        own = own or tuple(None for _ in samples)
        return (None, *(_sum(a, b) for a, b in zip(own, partial, strict=True)))


def _partial(samples: Sequence[Tensor], total: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Partial derivatives from total ones: without what goes by way of later samples.

    A total derivative in z_j is the partial one, and for each later z_m its partial one times the
    Jacobian of z_m in z_j. So they follow one after the other, from the last.
    """
    partial = list(total)
    for j in reversed(range(len(samples))):
        later = [(samples[m], partial[m]) for m in range(j + 1, len(samples))]
        known = [(value, gradient) for value, gradient in later if gradient is not None]
        if partial[j] is not None and known:
            values, gradients = zip(*known, strict=True)
            (by_way,) = _grad(values, [samples[j]], gradients)
            partial[j] = _sum(partial[j], None if by_way is None else -by_way)
    return partial


def _grad(outputs: Any, inputs: Any, gradients: Any) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(outputs, inputs, gradients, retain_graph=True, allow_unused=True)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
