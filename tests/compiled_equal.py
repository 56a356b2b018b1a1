"""The numbers that a staged or compiled run must have in common with an eager one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from torch import Tensor

from pyro_vae.training.call import Call
from pyro_vae.training.lowering import Backend, lower
from pyro_vae.training.staging import Staged, stage

Gradients = list[Tensor | None]


def parameters(evaluate: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Tensor]:
    """What one eager run registers, unconstrained."""
    with poutine.trace(param_only=True) as used:
        evaluate(*args, **kwargs)
    return [site["value"].unconstrained() for site in used.trace.nodes.values()]


def eager(
    evaluate: Callable[..., Any], leaves: list[Tensor], *args: Any, **kwargs: Any
) -> tuple[float, Gradients]:
    for leaf in leaves:
        leaf.grad = None
    pyro.set_rng_seed(11)
    loss = evaluate(*args, **kwargs)
    gradients = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return float(loss), gradients


def run(staged: Staged, call: Call, backend: Backend = "none") -> tuple[float, Gradients]:
    inputs = [*call.tensors, *staged.captured]
    compiled = lower(staged.graph, inputs, backend)
    pyro.set_rng_seed(11)
    with torch.no_grad():
        loss, gradients = staged.unpack(compiled(*inputs))
    return float(loss), gradients


def assert_same(
    loss: float, gradients: Gradients, expected: float, by_eager: Gradients, relative: float
) -> None:
    """Relative to the loss, and to the greatest gradient of each parameter."""
    assert abs(loss - expected) <= relative * abs(expected)
    assert len(gradients) == len(by_eager)
    assert any(gradient is not None for gradient in by_eager)
    for gradient, reference in zip(gradients, by_eager, strict=True):
        assert (gradient is None) == (reference is None)
        if gradient is not None and reference is not None:
            size = max(float(reference.abs().max()), 1e-2)
            assert float((gradient - reference).abs().max()) <= relative * size
            assert gradient.dtype == reference.dtype


def check_equal(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    bound: ELBO,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    relative: float,
    backend: Backend = "none",
) -> None:
    """Stage ``bound`` on the programs, and compare with the bound itself at one random seed."""

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        step: Any = getattr(bound, "gradients", None) or bound.loss_and_grads  # type: ignore
        return step(model, guide, *args, **kwargs)

    leaves = parameters(evaluate, *args, **kwargs)
    expected = eager(evaluate, leaves, *args, **kwargs)
    call = Call(args, kwargs)
    assert_same(*run(stage(evaluate, call, leaves), call, backend), *expected, relative)
