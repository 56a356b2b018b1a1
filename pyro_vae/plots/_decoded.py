"""What a decoder makes of a grid of points, and round numbers along its sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.plots import _images, _style


def decoded(
    decode: Callable[[Tensor], Any], points: Tensor, shape: Sequence[int] | None
) -> np.ndarray:
    """Return the images (points, channels, h, w) of the points, or raise ValueError."""
    with torch.no_grad():
        found = _images.as_images(decode(points), shape, "decode(z)")
    if len(found) != len(points):
        raise ValueError(f"decode returned {len(found)} images for {len(points)} points")
    return found


def quantile_ticks(values: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Round numbers within `values` and where they fall between the cell centres `at`."""
    from matplotlib.ticker import MaxNLocator

    rounds = MaxNLocator(6).tick_values(values[0], values[-1])
    shown = [float(v) for v in rounds if values[0] <= v <= values[-1]] or [float(values[0])]
    return np.interp(shown, values, at), [_style.number(v) for v in shown]
