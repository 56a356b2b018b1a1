"""Examples as pictures: any layout of images to RGB cells, and cells to one array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.plots import _style
from pyro_vae.plots._values import numbers, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A cell is enlarged (each pixel repeated) to at least this many pixels a side, so that a
# separator of one pixel is thin beside an image of 8 x 8 too.
SMALLEST_CELL = 28


def as_images(x: Any, shape: Sequence[int] | None, name: str) -> np.ndarray:
    """Return `x` as an array (n, channels, h, w) with one or three channels."""
    array = numbers(x, name)
    if array.size == 0 or array.ndim < 2:
        raise ValueError(
            f"{name} must be (n, h, w), (n, channels, h, w) or (n, features), got shape "
            f"{array.shape}; for a single image pass {name}[None]"
        )
    if shape is not None:
        event = tuple(whole(side, "shape", 1) for side in shape)
        if len(event) not in (2, 3) or math.prod(event) != math.prod(array.shape[1:]):
            raise ValueError(
                f"{name} of shape {array.shape} does not hold images of shape {event}, which "
                f"should be (h, w) or (channels, h, w)"
            )
        array = array.reshape(-1, *event)
    elif array.ndim == 2:
        side = math.isqrt(array.shape[1])
        if side * side != array.shape[1]:
            raise ValueError(
                f"{name} of shape {array.shape} has {array.shape[1]} features, not the pixels of "
                f"a square image: pass shape=(h, w) or shape=(channels, h, w)"
            )
        array = array.reshape(-1, side, side)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        last = array.ndim == 4 and array.shape[-1] in (1, 3)
        cure = f"channels come first, so pass {name}.permute(0, 3, 1, 2)" if last else ""
        raise ValueError(
            f"{name} of shape {array.shape} is not (n, h, w), (n, 1, h, w) or (n, 3, h, w)"
            + (f": {cure}" if cure else "")
        )
    return array


def colours(
    images: np.ndarray, vmin: float | None, vmax: float | None, cmap: str, name: str
) -> np.ndarray:
    """Return images (n, channels, h, w) as RGB (n, h, w, 3) in [0, 1], `vmin` black."""
    import matplotlib
    from matplotlib.colors import to_rgb

    known = images[np.isfinite(images)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if vmax is not None and high > vmax and np.all(known == np.round(known)):
        raise ValueError(
            f"{name} holds whole numbers up to {high:g}, above vmax={vmax:g}: pass "
            f"vmax={high:g}, or vmax=None for the range of the data"
        )
    if vmin is not None and vmax is not None and not vmax > vmin:
        raise ValueError(f"vmin={vmin} must be below vmax={vmax}")
    # A limit that the data set must still leave a range, constant images included.
    if vmin is None:
        vmin = low if vmax is None or low < vmax else vmax - 1.0
    if vmax is None:
        vmax = high if high > vmin else vmin + 1.0
    missing = np.isnan(images).any(axis=1)
    unit = np.clip((np.where(np.isnan(images), vmin, images) - vmin) / (vmax - vmin), 0.0, 1.0)
    if unit.shape[1] == 3:
        rgb = np.moveaxis(unit, 1, -1).copy()
    elif cmap == "gray":
        rgb = np.repeat(unit[:, 0, :, :, None], 3, axis=-1)  # exact, where a table has 256 steps
    else:
        rgb = matplotlib.colormaps[cmap](unit[:, 0])[..., :3]
    rgb[missing] = to_rgb(_style.MISSING)
    return rgb


@dataclass(frozen=True)
class Grid:
    """One RGB array (height, width, 3) and the pixel centres of its columns and rows."""

    array: np.ndarray
    x: np.ndarray
    y: np.ndarray


def compose(rgb: np.ndarray, columns: int, *, separate: bool = True, group: int = 0) -> Grid:
    """Lay cells (n, h, w, 3) row by row into one white array; cells of NaN stay white.

    Cells are `separate`d by a thin line, white or, where most pixels are light, grey; after every
    `group` rows a white line four times as wide follows.
    """
    n, h, w, _ = rgb.shape
    line = 1.0 if np.nanmedian(rgb) < 0.8 else 0.75
    scale = max(1, math.ceil(SMALLEST_CELL / max(h, w)))
    rgb = rgb.repeat(scale, axis=1).repeat(scale, axis=2)
    h, w = h * scale, w * scale
    gap = max(1, round(max(h, w) / 32)) if separate else 0
    rows = math.ceil(n / columns)
    left = np.arange(columns) * (w + gap)
    top = np.arange(rows) * (h + gap)
    if group:
        top = top + (np.arange(rows) // group) * 3 * gap
    array = np.ones((top[-1] + h, left[-1] + w, 3))
    for i, cell in enumerate(rgb):
        if not np.isnan(cell).any():
            y, x = top[i // columns], left[i % columns]
            array[y : y + h + gap, x : x + w + gap] = line
            array[y : y + h, x : x + w] = cell
    return Grid(array, left + (w - 1) / 2, top + (h - 1) / 2)


def draw(
    grid: Grid,
    ax: Axes | None,
    title: str | None,
    cell: float = 0.6,
    margins: tuple[float, float] = (0.0, 0.0),
) -> Axes:
    """Show a grid on `ax` without frame or ticks.

    A new figure gives each cell `cell` inches, within a page, and adds `margins` in inches, left
    and below, for what is written there.
    """
    height, width = grid.array.shape[:2]
    wide = min(max(cell * len(grid.x), 2.0), 7.0, 11.0 * width / height)
    tall = wide * height / width
    above = 0.35 if title else 0.0
    ax = _style.axes(ax, (max(wide + margins[0], 2.8), tall + margins[1] + above))
    ax.imshow(grid.array)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(length=0, labelsize=_style.TICK)
    ax.spines[:].set_visible(False)
    _style.title(ax, title)
    return ax
