"""One page on which a point is dragged over a 2-D latent space and its image is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.plots import _explorer_page, _images
from pyro_vae.plots._decoded import decoded
from pyro_vae.plots._values import finite, whole

REACH = 3.0  # of the default box: a standard normal exceeds it once in four hundred draws


def explorer(
    decode: Callable[[Tensor], Any],
    file: str | Path,
    *,
    z: Any = None,
    labels: Any = None,
    n: int = 25,
    box: Sequence[Sequence[float]] | None = None,
    icdf: Callable[[Tensor], Tensor] | None = None,
    shape: Sequence[int] | None = None,
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    cmap: str = "gray",
    title: str = "A latent space to explore",
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    r"""Write a web page on which one drags a point over a 2-D latent space and sees its image.

    The page is one file, works offline, and answers to mouse, touch and arrow keys. It holds what
    the model decodes on an ``n`` by ``n`` grid; between the points of the grid it interpolates the
    images bilinearly, and says so. The grid is even in z over `box`, or, with `icdf`, in the
    prior's probability, at :math:`z = F^{-1}((i + 1/2) / n)` in each dimension as in
    :func:`~pyro_vae.plots.manifold`.

    Args:
        decode: (n * n, 2) points to as many images in any layout that `images` takes; called
            once, without gradients.
        file: the page, ending in ``.html``; folders that are missing are made.
        z: codes (m, 2) to show on the plane, such as means of q(z|x). Those beyond the grid are
            shown on its edge.
        labels: (m,) classes or a quantity, as `latent_scatter` takes them; colours the codes.
        n: points of the grid a side; the file grows with its square.
        box: ``((low, high), (low, high))`` of z[0] and z[1]; by default from -3 to 3, and further
            where codes lie.
        icdf: the prior's inverse distribution function, called with probabilities (n, 2), a
            column for each dimension.
        shape: (h, w) or (channels, h, w) of one image, for features that are not a square.
        vmin: the value drawn black; None for the smallest.
        vmax: the value drawn white; None for the largest.
        cmap: a matplotlib colour map for images of one channel.
        title: the page's.
        device: where the points handed to `decode` lie.
        dtype: their floating type; torch's default if None.

    Returns:
        The file.

    Raises:
        ValueError: if `box` and `icdf` are both given, codes are not (m, 2), a side of `box` is
            empty, labels are given without codes, or `decode` returns another number of images.

    >>> import tempfile
    >>> def decode(z):
    ...     return z.sigmoid().mean(1).reshape(-1, 1, 1).expand(-1, 8, 8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = explorer(decode, f"{folder}/explorer.html", n=5).read_text()
    >>> "5 × 5 points" in page, "http" in page
    (True, False)
    """
    file = Path(file)
    if file.suffix not in (".html", ".htm"):
        raise ValueError(f"file must end in .html, got {file}")
    n = whole(n, "n", 2)
    codes = None if z is None else finite(z, "z")
    if codes is not None and (codes.ndim != 2 or codes.shape[1] != 2 or len(codes) == 0):
        raise ValueError(f"z must be (m, 2), codes in a latent space of 2-D, got {codes.shape}")
    if codes is None and labels is not None:
        raise ValueError("labels are of codes: pass z as well")
    if box is not None and icdf is not None:
        raise ValueError("the grid is even over box or in the probabilities of icdf: pass one")
    dtype = dtype or torch.get_default_dtype()
    axes = _box(box, codes, n) if icdf is None else _quantiles(icdf, n, device, dtype)
    points = torch.as_tensor(_points(axes)).to(device=device, dtype=dtype)
    cells = _images.colours(decoded(decode, points, shape), vmin, vmax, cmap, "decode(z)")
    page = _explorer_page.page(title, cells, axes, codes, labels, even=icdf is None)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, "utf-8")
    return file


def _box(box: Sequence[Sequence[float]] | None, codes: np.ndarray | None, n: int) -> np.ndarray:
    """The grid's coordinates (2, n), even between the sides."""
    if box is None:
        ends = np.array([[-REACH, REACH]] * 2)
        if codes is not None:
            ends[:, 0] = np.minimum(ends[:, 0], codes.min(0))
            ends[:, 1] = np.maximum(ends[:, 1], codes.max(0))
    else:
        ends = finite(box, "box")
    if ends.shape != (2, 2) or not (ends[:, 0] < ends[:, 1]).all():
        raise ValueError(f"box must be ((low, high), (low, high)) with low < high, got {box}")
    return np.linspace(ends[:, 0], ends[:, 1], n, axis=1)


def _quantiles(icdf: Any, n: int, device: Any, dtype: torch.dtype) -> np.ndarray:
    middle = (torch.arange(n, device=device, dtype=dtype) + 0.5) / n
    with torch.no_grad():
        found = finite(icdf(middle[:, None].expand(n, 2)), "icdf's values")
    if found.shape != (n, 2) or not (np.diff(found, axis=0) > 0).all():
        raise ValueError(f"icdf must map ({n}, 2) to ({n}, 2), growing along each column")
    return found.T


def _points(axes: np.ndarray) -> np.ndarray:
    """The grid's points, z[0] running fastest and z[1] downwards, as the atlas is laid out."""
    return np.stack([np.tile(axes[0], len(axes[0])), axes[1][::-1].repeat(len(axes[1]))], axis=-1)
