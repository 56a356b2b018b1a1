"""The prior's highest-density regions in two dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_vae.plots import _style
from pyro_vae.plots._values import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

POINTS = 241  # a side of the grid on which a density is evaluated
LogProb = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Region:
    """The region of the highest density that holds the probability `level`: its edges (k, 2)."""

    level: float
    edges: list[np.ndarray]


def radius(level: float) -> float:
    """Radius within which a standard normal in 2-D has probability `level`.

    |z|^2 is exponential with mean 2, so 1 - level = exp(-r^2 / 2).
    """
    return float(np.sqrt(-2.0 * np.log1p(-level)))


def circles(levels: Sequence[float]) -> list[Region]:
    """The regions of the standard normal."""
    turn = np.linspace(0.0, 2.0 * np.pi, 361)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    return [Region(level, [radius(level) * circle]) for level in sorted(levels)]


def regions(log_prob: LogProb, levels: Sequence[float], reach: float, like: Tensor) -> list[Region]:
    """Find the smallest regions that hold the probabilities `levels` under `log_prob`.

    The density need not be normalised. `reach` is a first guess of how far it extends from 0;
    it is asked for points of the type and on the device of `like`.
    """
    from contourpy import contour_generator

    x, y, density = _zoomed(log_prob, *_covering(log_prob, reach, like), like)
    falling, mass = _ranked(density)
    # Just under the density, so that a flat one (uniform) has an edge to draw; where it is flat
    # the levels share that edge, and the largest names it.
    last = len(falling) - 1
    heights = {
        float(falling[min(int(np.searchsorted(mass, level)), last)]) * (1 - 1e-6): level
        for level in sorted(levels)
    }
    lines = contour_generator(x, y, density, line_type="Separate")
    edges = {level: lines.lines(height) for height, level in heights.items()}
    return [Region(level, [np.asarray(edge) for edge in e]) for level, e in edges.items() if e]


def draw(ax: Axes, found: list[Region]) -> None:
    """Draw the edges of regions, each with its probability written on top."""
    for region in found:
        for edge in region.edges:
            ax.plot(edge[:, 0], edge[:, 1], color=_style.INK, lw=0.9, ls="--", zorder=3)
        points = np.concatenate(region.edges)
        y = points[:, 1]
        top = points[y >= y.max() - 1e-6 * np.ptp(y)]
        at = top[len(top) // 2]
        text = ax.text(at[0], at[1], f"{100 * region.level:g} %", zorder=4)
        text.set(fontsize=_style.TICK, color=_style.INK, ha="center", va="center")
        text.set_bbox({"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.9})


def entry(label: str) -> Line2D:
    """What stands for the contours in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=_style.INK, lw=0.9, ls="--", label=label)


def _evaluate(log_prob: LogProb, x: np.ndarray, y: np.ndarray, like: Tensor) -> np.ndarray:
    """Return the density, up to a factor, with z[1] along the rows and z[0] along the columns."""
    pairs = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    with torch.no_grad():
        points = torch.as_tensor(pairs).to(like)
        logs = numbers(log_prob(points), "prior_log_prob(points)")
    if logs.shape != (len(pairs),) or np.isnan(logs).any() or not np.isfinite(logs.max()):
        raise ValueError(
            f"prior_log_prob must map points ({len(pairs)}, 2) to log densities ({len(pairs)},), "
            f"none NaN and the largest finite; it returned shape {logs.shape}, "
            f"{int(np.isnan(logs).sum())} NaN"
        )
    return np.exp(logs - logs.max()).reshape(len(y), len(x))


def _ranked(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return densities from the highest down, and the share of the mass held so far."""
    falling = np.sort(density.ravel())[::-1]
    return falling, np.cumsum(falling) / falling.sum()


def _covering(
    log_prob: LogProb, reach: float, like: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate on a square about 0, doubled until its rim holds next to no mass."""
    rim = POINTS // 20
    for _ in range(12):
        grid = np.linspace(-reach, reach, POINTS)
        density = _evaluate(log_prob, grid, grid, like)
        if density[rim:-rim, rim:-rim].sum() > 0.9995 * density.sum():
            return grid, grid, density
        reach *= 2
    raise ValueError("prior_log_prob is not the log of a density that falls off far from 0")


def _zoomed(
    log_prob: LogProb, x: np.ndarray, y: np.ndarray, density: np.ndarray, like: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Narrow the grid to where the mass is: a narrow prior would fall between coarse points."""
    for _ in range(12):
        falling, mass = _ranked(density)
        held = density >= falling[min(int(np.searchsorted(mass, 0.99995)), density.size - 1)]
        across, along = np.flatnonzero(held.any(axis=0)), np.flatnonzero(held.any(axis=1))
        left, right = max(across[0] - 2, 0), min(across[-1] + 2, len(x) - 1)
        low, high = max(along[0] - 2, 0), min(along[-1] + 2, len(y) - 1)
        if min(right - left, high - low) > 0.6 * POINTS:
            break
        x, y = np.linspace(x[left], x[right], POINTS), np.linspace(y[low], y[high], POINTS)
        density = _evaluate(log_prob, x, y, like)
    return x, y, density
