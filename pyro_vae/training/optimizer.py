"""The optimiser of theta and phi."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from pyro.optim import PyroOptim
from pyro.optim.lr_scheduler import PyroLRScheduler
from torch import Tensor
from torch.optim import Adam, Optimizer

Optim = Callable[[list[dict[str, Any]]], Optimizer] | PyroOptim


def make_optimizer(
    theta: Iterable[Tensor],
    phi: Iterable[Tensor],
    optim: Optim | None = None,
    lr: float | None = None,
    lr_guide: float | None = None,
    critic: Iterable[Tensor] = (),
    lr_critic: float | None = None,
) -> Optimizer:
    """One optimiser over two groups, ``"theta"`` and ``"phi"``: they are optimised jointly.

    An objective's critic is a third group, ``"critic"``.

    Args:
        theta, phi, critic: parameters of the model, of the guide, and of the objective.
        optim: ``groups -> torch.optim.Optimizer`` (a class or a function), or a ``pyro.optim``
            object with one dict of options. Default: Adam (Kingma and Ba 2015) with rate 2e-3.
        lr: learning rate of both groups; ``None`` for what ``optim`` itself holds.
        lr_guide, lr_critic: those of phi and of the critic, if they are to differ.

    Raises ``ValueError`` for a rate that is not positive, no parameters or not all of them, or a
    ``pyro.optim`` object with more than one dict of options; ``TypeError`` for no optimiser.

    >>> w = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = make_optimizer([w], [], lr=0.1)
    >>> [(group["name"], group["lr"]) for group in optimizer.param_groups]
    [('theta', 0.1)]
    >>> make_optimizer([w], [], lambda groups: torch.optim.SGD(groups, lr=0.5)).defaults["lr"]
    0.5
    """
    if optim is None:
        lr = 2e-3 if lr is None else lr
    for name, rate in (("lr", lr), ("lr_guide", lr_guide), ("critic_lr", lr_critic)):
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate < math.inf):
            raise ValueError(f"{name} must be a positive number, not {rate!r}")
    groups: list[dict[str, Any]] = []
    for name, params, rate in (
        ("theta", theta, lr),
        ("phi", phi, lr if lr_guide is None else lr_guide),
        ("critic", critic, lr if lr_critic is None else lr_critic),
    ):
        # Tied weights are one tensor with two names.
        once = list({id(p): p for p in params}.values())
        # A rate in the group would go before the one that `optim` was given.
        given = {} if rate is None else {"lr": rate}
        if once:
            groups.append({"name": name, "params": once, **given})
    if not groups:
        raise ValueError("model and guide register no trainable parameters; nothing to optimise")
    if optim is None:
        return Adam(groups, fused=_fusable(groups))
    optimizer = _from_pyro(optim, groups) if isinstance(optim, PyroOptim) else _call(optim, groups)
    if any("lr" not in group for group in optimizer.param_groups):
        raise ValueError(
            f"{type(optimizer).__name__} has no learning rate named lr, which fit schedules: "
            "take another optimiser"
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    left = [p for group in groups for p in group["params"] if id(p) not in held]
    if left:
        raise ValueError(
            f"the optimiser that optim makes leaves out {len(left)} trainable tensors: give it "
            "all groups, and freeze what is not to train by .requires_grad_(False)"
        )
    return optimizer


def _call(optim: Any, groups: list[dict[str, Any]]) -> Optimizer:
    made = None if isinstance(optim, Optimizer) or not callable(optim) else optim(groups)
    if not isinstance(made, Optimizer):
        raise TypeError(
            "optim is a function from parameter groups to a torch optimiser, such as "
            "torch.optim.Adam or lambda groups: torch.optim.SGD(groups, momentum=0.9), not "
            f"{optim!r}".splitlines()[0]
        )
    return made


def _from_pyro(optim: PyroOptim, groups: list[dict[str, Any]]) -> Optimizer:
    options = optim.pt_optim_args
    if isinstance(optim, PyroLRScheduler) or not isinstance(options, dict) or optim.pt_clip_args:
        raise ValueError(
            "fit takes a pyro.optim object with one dict of options; for options by parameter "
            "give optim=lambda groups: torch.optim.Adam(groups), for clipping give clip_norm, "
            "for a decay of the learning rate give schedule"
        )
    if options.get("lrd", 1.0) != 1.0:
        raise ValueError(
            f"lrd={options['lrd']} of {type(optim).__name__} would be overridden by the schedule "
            "of fit: leave it out and give schedule, a name or a function of the part done"
        )
    return optim.pt_optim_constructor(groups, **options)  # type: ignore[operator]


def _fusable(groups: list[dict[str, Any]]) -> bool:
    parameters: list[Tensor] = [p for group in groups for p in group["params"]]
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


def clip_gradients(optimizer: Optimizer, norm: float) -> Tensor:
    """Scale all gradients together so that their joint Euclidean norm is at most ``norm``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return torch.nn.utils.clip_grad_norm_(parameters, norm)
