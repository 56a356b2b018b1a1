"""A picture to a file, and its figure closed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def save(ax: Axes | Sequence[Axes], path: str | Path, *, dpi: float = 150) -> Path:
    """Write the figure that `ax` (or the first of several) belongs to, then close it.

    Closing keeps a program that draws many pictures from holding them all: pyplot keeps every
    figure it made until it is closed.

    Args:
        ax: what a function of this package returned.
        path: the file; its ending chooses the format (``.png``, ``.pdf``, ``.svg``), folders
            that are missing are made.
        dpi: dots per inch.

    Returns:
        The path.

    >>> import tempfile, torch
    >>> from pyro_vae import plots
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(plots.images(torch.rand(4, 8, 8)), f"{folder}/data.png").stat().st_size > 0
    True
    """
    import matplotlib.pyplot as plt

    path = Path(path)
    first: Axes = np.ravel(np.asarray(ax, dtype=object))[0]
    # Axes.figure may be a SubFigure, whose own `figure` is the whole one.
    figure = first.figure.figure
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(path, dpi=dpi, bbox_inches="tight", pad_inches=0.05)
    finally:
        plt.close(figure)
    return path
