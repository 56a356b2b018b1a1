"""Pictures that the benchmark scripts share: rows of images, each row and column with its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch
from PIL import Image
from torch import Tensor

from pyro_vae import plots

matplotlib.use("agg")


def rows(
    images: dict[str, Tensor],
    path: str,
    *,
    columns: Sequence[str] = (),
    title: str | None = None,
    cell: float = 0.6,
    **options: object,
) -> None:
    """Draw each entry's images ``(n, ...)`` as a row beside its name.

    Args:
        images: names to as many images each, in any layout that ``plots.images`` takes.
        path: the file.
        columns: names above the columns.
        title: written above all.
        cell: side of an image, inches.
        options: of ``plots.images``.
    """
    import matplotlib.pyplot as plt

    down, across = len(images), len(next(iter(images.values())))
    size = (cell * across + 1.4, cell * down + 0.35 * (title is not None) + 0.2 * bool(columns))
    _, ax = plt.subplots(figsize=size, layout="constrained")
    plots.images(torch.cat(list(images.values())), columns=across, ax=ax, **options)  # type: ignore[arg-type]
    height, width = ax.images[0].get_array().shape[:2]
    ax.set_yticks(middles(height, down), list(images))
    if columns:
        ax.set_xticks(middles(width, across), list(columns))
        ax.xaxis.tick_top()
    ax.tick_params(length=0, labelsize="small")
    if title is not None:
        ax.set_title(title, fontsize="medium")
    small(plots.save(ax, path, dpi=110))


def small(path: Path) -> None:
    """Write a PNG again with at most 128 colours, which halves the file."""
    with Image.open(path) as picture:
        fewer = picture.convert("RGB").quantize(128)
    fewer.save(path, optimize=True)


def middles(length: int, parts: int) -> list[float]:
    """Where the middles of so many equal parts are, in pixels."""
    return [(part + 0.5) * length / parts - 0.5 for part in range(parts)]


def one_of_each(x: Tensor, labels: Tensor) -> Tensor:
    """The first example of every class, in the order of the classes."""
    return torch.stack([x[labels == k][0] for k in labels.unique()])
