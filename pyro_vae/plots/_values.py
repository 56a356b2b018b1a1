"""Whatever the caller has (tensor, array, list) as one float64 array, or one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def numbers(x: Any, name: str) -> np.ndarray:
    """Return `x` as a float64 array on the CPU, cut from any autograd graph.

    Raises TypeError if it holds no real numbers, ValueError if its rows differ in length.
    """
    if isinstance(x, Sequence) and any(isinstance(row, Tensor) for row in x):
        shapes = {tuple(torch.as_tensor(row).shape) for row in x}
        if len(shapes) > 1:
            raise ValueError(
                f"{name} is a sequence of tensors of different shapes {sorted(shapes)}"
            )
        x = torch.stack([torch.as_tensor(row).detach().cpu() for row in x])
    if isinstance(x, Tensor):
        if x.is_complex():
            raise TypeError(f"{name} holds complex numbers; plot its real part or its modulus")
        return x.detach().cpu().to(torch.float64).numpy()
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is a sequence whose rows differ in length") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {type(x).__name__} of {array.dtype}")
    return array.astype(np.float64)


def finite(x: Any, name: str) -> np.ndarray:
    """Like `numbers`, and raise ValueError where an entry is NaN or infinite."""
    array = numbers(x, name)
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise ValueError(f"{name} has {bad} entries of {array.size} that are NaN or infinite")
    return array


def whole(value: Any, name: str, least: int) -> int:
    """Return `value` as an int of at least `least`, else raise ValueError."""
    if int(value) != value or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value}")
    return int(value)
