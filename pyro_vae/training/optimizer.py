"""The optimiser of theta and phi, and the schedule of its learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pyro.optim import PyroOptim
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

Optim = Callable[[list[dict[str, Any]]], Optimizer] | PyroOptim
Schedule = Literal["constant", "cosine", "linear"] | Callable[[float], float]

_SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1.0 - done,
}


def make_optimizer(
    theta: Iterable[Tensor],
    phi: Iterable[Tensor],
    optim: Optim | None = None,
    lr: float | None = None,
    lr_guide: float | None = None,
) -> Optimizer:
    """One optimiser over two groups, ``"theta"`` and ``"phi"``: they are optimised jointly.

    Args:
        theta, phi: parameters of the model and of the guide.
        optim: ``groups -> torch.optim.Optimizer`` (a class or a function), or a ``pyro.optim``
            object with one dict of options. Default: Adam (Kingma and Ba 2015), fused.
        lr: learning rate; default 2e-3, or what ``optim`` holds.
        lr_guide: that of phi, if it is to differ.

    Raises ``ValueError`` for a rate that is not positive, no parameters, or a ``pyro.optim``
    object whose options depend on the parameter.

    >>> w = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = make_optimizer([w], [], lr=0.1)
    >>> [(group["name"], group["lr"]) for group in optimizer.param_groups]
    [('theta', 0.1)]
    """
    options: dict[str, Any] = {}
    if isinstance(optim, PyroOptim):
        if not isinstance(optim.pt_optim_args, dict) or optim.pt_clip_args:
            raise ValueError(
                "fit takes a pyro.optim object with one dict of options; for options by parameter "
                "give optim=lambda groups: torch.optim.Adam(groups), for clipping give clip_norm"
            )
        options = dict(optim.pt_optim_args)
    rate = options.pop("lr", 2e-3) if lr is None else lr
    rates = {"theta": rate, "phi": rate if lr_guide is None else lr_guide}
    for name, value in rates.items():
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"the learning rate of {name} must be positive, not {value}")
    groups: list[dict[str, Any]] = [
        {"name": name, "params": params, "lr": rates[name]}
        for name, params in (("theta", list(theta)), ("phi", list(phi)))
        if params
    ]
    if not groups:
        raise ValueError("model and guide register no trainable parameters; nothing to optimise")
    if isinstance(optim, PyroOptim):
        return optim.pt_optim_constructor(groups, **options)  # type: ignore[operator]
    if optim is None:
        return Adam(groups, fused=_fusable(groups))
    return optim(groups)


def make_schedule(optimizer: Optimizer, schedule: Schedule, steps: int) -> LRScheduler:
    """Multiply each learning rate by a factor of the part of the run that is done.

    ``schedule`` is ``"constant"``, ``"cosine"`` (from 1 to 0; Loshchilov and Hutter 2017, SGDR),
    ``"linear"`` (from 1 to 0), or a function from ``[0, 1]`` to a factor.

    Raises ``ValueError`` for another name.
    """
    if isinstance(schedule, str):
        if schedule not in _SHAPES:
            names = ", ".join(map(repr, _SHAPES))
            raise ValueError(f"schedule is one of {names}, or a function, not {schedule!r}")
        factor = _SHAPES[schedule]
    else:
        factor = schedule
    return LambdaLR(optimizer, lambda step: factor(min(step / max(steps, 1), 1.0)))


def _fusable(groups: list[dict[str, Any]]) -> bool:
    parameters: list[Tensor] = [p for group in groups for p in group["params"]]
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


def clip_gradients(optimizer: Optimizer, norm: float) -> Tensor:
    """Scale all gradients together so that their joint Euclidean norm is at most ``norm``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return torch.nn.utils.clip_grad_norm_(parameters, norm)
