"""Grids of images whose rows and columns have names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vae import plots

from .view import View

#: Examples side by side.
ACROSS = 12


def grid(
    view: View,
    x: Tensor,
    title: str,
    rows: Sequence[object] = (),
    columns: Sequence[object] = (),
) -> Any:
    """Images ``(rows, columns, *event)`` with names at the left and below; returns the Axes."""
    height, width = x.shape[:2]
    ax = plots.images(x.flatten(0, 1).cpu(), columns=width, title=title, **view.look)
    down, across = np.asarray(ax.images[0].get_array()).shape[:2]
    if rows:
        ax.set_yticks([(i + 0.5) * down / height for i in range(height)], list(map(str, rows)))
    if columns:
        ax.set_xticks([(i + 0.5) * across / width for i in range(width)], list(map(str, columns)))
    return ax
