"""What the decoder makes of chosen points: the 2-D manifold and latent traversals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_vae.plots import _images, _style
from pyro_vae.plots._decoded import decoded, quantile_ticks
from pyro_vae.plots._values import finite, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def manifold(
    decode: Callable[[Tensor], Any],
    *,
    n: int = 20,
    icdf: Callable[[Tensor], Tensor] | None = None,
    shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    cmap: str = "gray",
    title: str | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Axes:
    r"""Draw what a model with a 2-D latent space decodes, on a grid of the prior's quantiles.

    Cell (i, j) shows decode(z) at z = (F^{-1}((i + 1/2) / n), F^{-1}((j + 1/2) / n)), F the
    prior's distribution function in each dimension, so that every cell stands for the same
    prior probability 1/n^2. z[0] grows to the right, z[1] upwards. (Kingma and Welling, 2014,
    Auto-Encoding Variational Bayes, figure 4.)

    Args:
        decode: (n * n, 2) points to as many images in any layout that `images` takes, such as
            ``lambda z: model.likelihood(z).mean``; called once, without gradients.
        n: cells a side.
        icdf: the prior's inverse distribution function, called with probabilities (n, 2), a
            column for each dimension; by default the standard normal's.
        shape: (h, w) or (channels, h, w) of one image, for features that are not a square.
        ax: where to draw; a new pyplot figure if None.
        vmin: the value drawn black; None for the smallest.
        vmax: the value drawn white; None for the largest.
        cmap: a matplotlib colour map for images of one channel.
        title: written above.
        device: where the points handed to `decode` lie.
        dtype: their floating type; torch's default if None.

    Raises:
        ValueError: if `icdf` or `decode` returns another number of rows than it was given.

    >>> ax = manifold(lambda z: z.sigmoid().mean(1).reshape(-1, 1, 1).expand(-1, 8, 8), n=4)
    >>> ax.images[0].get_array().shape  # 4 x 4 cells of 32 pixels, nothing between them
    (128, 128, 3)
    >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    n = whole(n, "n", 1)
    dtype = dtype or torch.get_default_dtype()
    middle = (torch.arange(n, device=device, dtype=dtype) + 0.5) / n
    both = middle[:, None].expand(n, 2)
    with torch.no_grad():
        z = torch.special.ndtri(both) if icdf is None else icdf(both)
    if z.shape != (n, 2):
        raise ValueError(f"icdf must map ({n}, 2) to ({n}, 2), returned {tuple(z.shape)}")
    known = finite(z, "icdf's values")
    # The picture's first row is its top, so z[1] runs downwards from its largest value.
    points = torch.stack([z[:, 0].repeat(n), z[:, 1].flip(0).repeat_interleave(n)], dim=-1)
    cells = _images.colours(decoded(decode, points, shape), vmin, vmax, cmap, "decode(z)")
    grid = _images.compose(cells, n, separate=False)
    ax = _images.draw(grid, ax, title, cell=0.28, margins=(0.5, 0.5))
    ax.set_xticks(*quantile_ticks(known[:, 0], grid.x))
    ax.set_yticks(*quantile_ticks(known[:, 1], grid.y[::-1]))
    ax.set_xlabel("z[0]", fontsize=_style.LABEL)
    ax.set_ylabel("z[1]", fontsize=_style.LABEL)
    return ax


def traversals(
    decode: Callable[[Tensor], Any],
    z: Any,
    *,
    dims: Sequence[int] | Tensor | None = None,
    span: float = 3.0,
    steps: int = 9,
    shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    cmap: str = "gray",
    title: str | None = None,
) -> Axes:
    """Draw what changes in x when one latent dimension changes: a dimension a row.

    Row d shows decode(z) with z[d] replaced by `steps` values from -span to span, all other
    dimensions held at the given z.

    Args:
        decode: (rows * steps, latent) points to as many images in any layout that `images`
            takes; called once, without gradients.
        z: the latent vector to start from, (latent,) or (1, latent).
        dims: the dimensions to vary, a row each; by default the first ten. The most informative
            ones are ``kl.argsort(descending=True)[:10]``.
        span: the largest value, in units of z.
        steps: values in a row.
        shape: (h, w) or (channels, h, w) of one image, for features that are not a square.
        ax: where to draw; a new pyplot figure if None.
        vmin: the value drawn black; None for the smallest.
        vmax: the value drawn white; None for the largest.
        cmap: a matplotlib colour map for images of one channel.
        title: written above.

    Raises:
        ValueError: if `z` is not one vector, or a dimension is outside it.

    >>> import torch
    >>> ax = traversals(lambda z: z.sigmoid().repeat(1, 8), torch.zeros(8), dims=[0, 5])
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['z[0]', 'z[5]']
    >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    steps = whole(steps, "steps", 2)
    if not 0 < span < float("inf"):
        raise ValueError(f"span must be positive and finite, got {span}")
    start = z.detach() if isinstance(z, Tensor) else torch.as_tensor(finite(z, "z")).float()
    start = start if start.is_floating_point() else start.to(torch.get_default_dtype())
    start = start[0] if start.ndim == 2 and len(start) == 1 else start
    if start.ndim != 1 or len(start) == 0:
        raise ValueError(f"z must be one latent vector (latent,), got shape {tuple(start.shape)}")
    chosen = (
        range(min(10, len(start))) if dims is None else torch.as_tensor(dims).flatten().tolist()
    )
    rows = [whole(d, "dims", 0) for d in chosen]
    if not rows or max(rows) >= len(start):
        raise ValueError(f"dims must name dimensions 0 to {len(start) - 1} of z, got {rows}")
    values = torch.linspace(-span, span, steps, dtype=start.dtype, device=start.device)
    points = start.repeat(len(rows), steps, 1)
    for row, d in enumerate(rows):
        points[row, :, d] = values
    cells = decoded(decode, points.flatten(0, 1), shape)
    grid = _images.compose(_images.colours(cells, vmin, vmax, cmap, "decode(z)"), steps)
    ax = _images.draw(grid, ax, title, margins=(0.5, 0.5))
    ax.set_xticks(grid.x, [_style.number(value) for value in values.tolist()])
    ax.set_yticks(grid.y, [f"z[{d}]" for d in rows])
    ax.set_xlabel("value of that dimension", fontsize=_style.LABEL)
    return ax
