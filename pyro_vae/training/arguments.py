"""The data of a run, as the arguments of its programs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@runtime_checkable
class Splits(Protocol):
    """Data with a training and a validation part, such as ``pyro_vae.data.Dataset``."""

    train: Tensor
    valid: Tensor
    transform: Callable[[Tensor], Tensor] | None


def as_arguments(data: Any, name: str) -> tuple[Tensor, ...]:
    """The arguments of the programs: a tensor or array, or a tuple of them, equally long.

    Raises ``TypeError`` for what is neither, ``ValueError`` for no examples or unequal lengths.

    >>> [tuple(t.shape) for t in as_arguments((torch.zeros(5, 2), np.zeros(5)), "data")]
    [(5, 2), (5,)]
    """
    tensors = tuple(_tensor(part, name) for part in (data if type(data) is tuple else (data,)))
    if not tensors:
        raise ValueError(f"{name} is an empty tuple; give a tensor, an array, or a tuple of them")
    if any(t.dim() == 0 for t in tensors):
        raise ValueError(f"{name} holds a single number; it needs a first dimension, the examples")
    lengths = [len(t) for t in tensors]
    if min(lengths) == 0:
        raise ValueError(f"{name} holds no examples")
    if len(set(lengths)) > 1:
        raise ValueError(f"the parts of {name} have different numbers of examples: {lengths}")
    return tensors


def _tensor(part: Any, name: str) -> Tensor:
    if isinstance(part, Tensor):
        # Autograd cannot follow a tensor that was made in inference mode.
        return part.clone() if part.is_inference() else part.detach()
    if not isinstance(part, np.ndarray):
        raise TypeError(
            f"{name} is a tensor, an array, or a tuple of them, not a {type(part).__name__}"
        )
    # A copy where torch cannot look at the array itself: reversed, read-only (memory-mapped).
    array = np.ascontiguousarray(part) if part.flags.writeable else np.array(part)
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise TypeError(f"{name} is an array of {part.dtype}, not of numbers: {line}") from error


def transformed(
    batch: tuple[Tensor, ...], transform: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, ...]:
    """The batch as the programs see it: the transform acts on its first part.

    Raises ``TypeError`` or ``ValueError`` where it does not give as many examples.
    """
    if transform is None:
        return batch
    first = transform(batch[0])
    if not isinstance(first, Tensor):
        raise TypeError(f"transform must return a tensor, not a {type(first).__name__}")
    if first.shape[:1] != batch[0].shape[:1]:
        raise ValueError(
            f"transform must keep the {len(batch[0])} examples of the mini-batch, but returns "
            f"a tensor of shape {tuple(first.shape)}"
        )
    return (first, *batch[1:])


def fingerprint(arguments: tuple[Tensor, ...] | None) -> str | None:
    """A short description that other data do not share: sizes, types, a hash of up to 64 examples.

    >>> fingerprint((torch.zeros(3, 2),))
    '3x2 float32 9d908ecf'
    """
    if arguments is None:
        return None
    words = []
    for part in arguments:
        count = min(len(part), 64)
        rows = torch.arange(count, device=part.device) * len(part) // count
        some = part[rows].cpu()
        digest = hashlib.sha256(some.view(torch.uint8).numpy().tobytes()).hexdigest()[:8]
        words += ["x".join(map(str, part.shape)), str(part.dtype).removeprefix("torch."), digest]
    return " ".join(words)
