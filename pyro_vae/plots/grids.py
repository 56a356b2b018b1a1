"""Grids of images: data, samples, and reconstructions under their originals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.plots import _images
from pyro_vae.plots._values import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def images(
    x: Any,
    *,
    columns: int | None = None,
    shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    cmap: str = "gray",
    title: str | None = None,
) -> Axes:
    """Draw a tight grid of images as one array with thin white separators.

    Args:
        x: images (n, h, w), (n, 1, h, w), (n, 3, h, w) or (n, features); a tensor, an array or
            a sequence. Pixels that are NaN (missing) are drawn in pink.
        columns: images in a row; by default the grid is as square as n allows.
        shape: (h, w) or (channels, h, w) of one image, for features that are not a square.
        ax: where to draw; a new pyplot figure if None.
        vmin: the value drawn black; None for the smallest of `x`.
        vmax: the value drawn white; None for the largest of `x`.
        cmap: a matplotlib colour map for images of one channel (``"gray_r"``: ink on paper).
        title: written above.

    Returns:
        The Axes; ``ax.images[0]`` holds the composed array.

    Raises:
        ValueError: if `x` cannot be read as images, or holds whole numbers above `vmax` (bytes).

    >>> import torch
    >>> ax = images(torch.rand(6, 64), title="six images of 8 x 8 pixels")
    >>> ax.get_title()
    'six images of 8 x 8 pixels'
    >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    cells = _images.colours(_images.as_images(x, shape, "x"), vmin, vmax, cmap, "x")
    across = _squarest(len(cells)) if columns is None else whole(columns, "columns", 1)
    return _images.draw(_images.compose(cells, min(across, len(cells))), ax, title)


def samples(
    x: Any,
    *,
    columns: int | None = None,
    shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    cmap: str = "gray",
    title: str | None = r"samples, $x \sim p(x)$",
) -> Axes:
    """Draw a grid of samples from the model: `images` under a title that says what they are.

    Args and errors are those of `images`. Show the likelihood's mean rather than a draw from it?
    Then say so in `title`.

    >>> import torch
    >>> ax = samples(torch.rand(9, 1, 8, 8).round())
    >>> ax.images[0].get_array().shape  # 3 x 3 cells of 32 pixels, one pixel between
    (98, 98, 3)
    >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    return images(
        x, columns=columns, shape=shape, ax=ax, vmin=vmin, vmax=vmax, cmap=cmap, title=title
    )


def reconstructions(
    x: Any,
    x_hat: Any,
    *,
    columns: int | None = None,
    shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    cmap: str = "gray",
    title: str | None = None,
    labels: tuple[str, str] = ("data", "reconstruction"),
) -> Axes:
    """Draw pairs: each original above its reconstruction, in rows named by `labels`.

    Args:
        x: the originals, in any layout that `images` takes.
        x_hat: the reconstructions, as many and of the same size; the layout may differ.
        columns: pairs in a row; by default at most ten.
        shape: (h, w) or (channels, h, w) of one image, for features that are not a square.
        ax: where to draw; a new pyplot figure if None.
        vmin: the value drawn black in both; None for the smallest of both.
        vmax: the value drawn white in both; None for the largest of both.
        cmap: a matplotlib colour map for images of one channel.
        title: written above.
        labels: the names of the upper and of the lower row.

    Raises:
        ValueError: if `x` and `x_hat` differ in number or size of images.

    >>> import torch
    >>> x = torch.rand(4, 8, 8)
    >>> ax = reconstructions(x, x.flatten(1) / 2)
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['data', 'reconstruction']
    >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    above, below = _images.as_images(x, shape, "x"), _images.as_images(x_hat, shape, "x_hat")
    if above.shape != below.shape:
        raise ValueError(f"x holds images {above.shape} but x_hat {below.shape}: pass pairs")
    n = len(above)
    both = np.concatenate([above, below])
    cells = _images.colours(both, vmin, vmax, cmap, "x")
    across = min(n, 10 if columns is None else whole(columns, "columns", 1))
    pairs = math.ceil(n / across)
    # Interleave: a row of originals, the row of their reconstructions; NaN where a row ends early.
    rows = np.full((2, pairs * across, *cells.shape[1:]), np.nan)
    rows[:, :n] = cells.reshape(2, n, *cells.shape[1:])
    rows = rows.reshape(2, pairs, across, *cells.shape[1:]).swapaxes(0, 1)
    grid = _images.compose(rows.reshape(-1, *cells.shape[1:]), across, group=2)
    ax = _images.draw(grid, ax, title, margins=(1.0, 0.0))
    ax.set_yticks(grid.y, list(labels) * pairs)
    return ax


def _squarest(n: int) -> int:
    """Columns for `n` images: a divisor of n near its root (no empty cell), else the root."""
    root = math.ceil(math.sqrt(n))
    full = [columns for columns in range(root, 2 * root) if n % columns == 0]
    return full[0] if full else root
