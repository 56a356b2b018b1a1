"""Labels of a scatter as colours: classes with a legend, quantities with a colour bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pyro_vae.plots import _style
from pyro_vae.plots._values import finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

CLASSES = len(_style.CLASSES) * len(_style.MARKERS)


@dataclass(frozen=True)
class Colouring:
    """Classes: their `names` and each point's index into them; else a quantity, `names` empty."""

    names: tuple[str, ...]
    values: np.ndarray


def colouring(labels: Any, n: int) -> Colouring | None:
    """Read `labels` as classes or as a quantity; None stays None."""
    if labels is None:
        return None
    array = labels.detach().cpu() if isinstance(labels, Tensor) else labels
    array = np.asarray(array if np.ndim(array) else [array])
    if array.shape != (n,):
        raise ValueError(
            f"labels must be one for each of the {n} points, got shape {array.shape}"
            + ("; of one-hot rows pass labels.argmax(-1)" if array.ndim == 2 else "")
        )
    if array.dtype.kind not in "iuf":
        array = array.astype(str)
    else:
        array = finite(array, "labels")
        if np.any(array != np.round(array)) or len(np.unique(array)) > CLASSES:
            return Colouring((), array)
        array = array.astype(np.int64)
    kinds, index = np.unique(array, return_inverse=True)
    if len(kinds) > CLASSES:
        raise ValueError(f"labels hold {len(kinds)} classes; at most {CLASSES} can be told apart")
    return Colouring(tuple(str(kind) for kind in kinds), index)


def scatter(
    ax: Axes, x: np.ndarray, y: np.ndarray, by: Colouring | None, quantity: str
) -> list[Line2D]:
    """Draw the points and return their entries of the legend."""
    from matplotlib.lines import Line2D

    # In a fixed random order: drawn class by class, the last would hide the others.
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    size = float(np.clip(9000 / len(x), 3, 20))
    if by is None:
        ax.scatter(x, y, s=size, color=_style.TRAIN, alpha=0.6, linewidths=0)
        return []
    values = by.values[order]
    if not by.names:
        points = ax.scatter(x, y, s=size, c=values, cmap=_style.CONTINUOUS, linewidths=0)
        bar = ax.figure.colorbar(points, ax=ax, shrink=0.8)
        bar.set_label(quantity, fontsize=_style.LABEL)
        bar.ax.tick_params(labelsize=_style.TICK)
        return []
    hues = np.array(_style.CLASSES)[values % len(_style.CLASSES)]
    entries = []
    for turn, marker in enumerate(_style.MARKERS):
        here = values // len(_style.CLASSES) == turn
        if here.any():
            ax.scatter(x[here], y[here], s=size, c=hues[here], marker=marker, alpha=0.8, lw=0)
    for k, name in enumerate(by.names):
        marker = _style.MARKERS[k // len(_style.CLASSES)]
        hue = _style.CLASSES[k % len(_style.CLASSES)]
        entries.append(Line2D([], [], ls="", marker=marker, ms=5, color=hue, label=name))
    return entries


def legend(ax: Axes, classes: list[Line2D], others: list[Line2D]) -> None:
    """Put classes, in as many columns as they need, right of the points; else a corner does."""
    style: dict[str, Any] = {"fontsize": _style.TICK, "frameon": False}
    if classes:
        style |= {"bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0, "loc": "upper left"}
        style |= {"ncols": 1 + (len(classes) + len(others) - 1) // 20}
    else:
        style |= {"loc": "upper right", "frameon": True, "edgecolor": "none"}
    if classes or others:
        ax.legend(handles=[*classes, *others], **style)
