"""What a run needs to know besides its programs, and what must not change when it resumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Splits(Protocol):
    """Data with a training and a validation part, such as ``pyro_vae.data.Dataset``."""

    train: Tensor
    valid: Tensor
    transform: Callable[[Tensor], Tensor] | None


def as_arguments(data: Any, name: str) -> tuple[Tensor, ...]:
    """The arguments of the programs: a tensor or array, or a tuple of them, equally long.

    Raises ``TypeError`` for what is neither, ``ValueError`` for no examples or unequal lengths.
    """
    parts = tuple(data) if isinstance(data, tuple | list) else (data,)
    try:
        tensors = tuple(torch.as_tensor(part) for part in parts)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name} is a tensor, an array, or a tuple of them, not {type(data).__name__}"
        ) from error
    if any(t.dim() == 0 for t in tensors) or not tensors:
        raise ValueError(f"{name} holds a single number; it needs a first dimension, the examples")
    lengths = [len(t) for t in tensors]
    if min(lengths) == 0:
        raise ValueError(f"{name} holds no examples")
    if len(set(lengths)) > 1:
        raise ValueError(f"the parts of {name} have different numbers of examples: {lengths}")
    return tensors


def pick_device(device: str | torch.device, *programs: Callable[..., Any]) -> torch.device:
    """``"auto"``: a GPU where there is one and both programs are modules, else where they are.

    Raises ``ValueError`` for a device that this machine does not have.
    """
    modules = [program for program in programs if isinstance(program, nn.Module)]
    if device == "auto":
        if torch.cuda.is_available() and len(modules) == len(programs):
            return torch.device("cuda", torch.cuda.current_device())
        parameters = (p for module in modules for p in module.parameters())
        return next(parameters, torch.empty(0)).device
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(f"device {str(device)!r} is not to be had here: {line}") from error
    return chosen


def check_options(**options: Any) -> None:
    """Whole numbers that must be positive, ``None`` allowed; ``ValueError`` names the option."""
    for name, value in options.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (whole and value >= 1):
            raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")


def check_resumed(saved: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise ``ValueError`` where a run would not go on as it was begun."""
    for name, value in given.items():
        if saved.get(name) != value:
            raise ValueError(
                f"the checkpoint was written with {name}={saved.get(name)!r}, not {value!r}: "
                "resume with the same, or begin a new run"
            )
