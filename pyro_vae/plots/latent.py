"""The latent space: codes against the prior, and the information in each dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.plots import _contours, _labels, _style
from pyro_vae.plots._values import finite, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 32  # up to so many dimensions each bar is named; past that, they are ranks


def latent_scatter(
    z: Any,
    labels: Any = None,
    *,
    prior_log_prob: Callable[[Tensor], Tensor] | None = None,
    levels: Sequence[float] = (0.5, 0.9, 0.99),
    dims: tuple[int, int] = (0, 1),
    quantity: str = "label",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    r"""Scatter codes in two latent dimensions against the contours of the prior.

    If the aggregate posterior q(z) = E_data[q(z|x)] were the prior, each contour would hold its
    share of the points. For the standard normal, the contour of probability p is the circle of
    radius sqrt(-2 log(1 - p)).

    Args:
        z: codes (n, latent), latent at least 2; draws from q(z|x), or its means.
        labels: (n,) classes (whole numbers, booleans or strings: a legend) or a quantity (other
            numbers, or more than fifty different ones: a colour bar).
        prior_log_prob: (m, 2) points to (m,) log densities of the prior *in the two chosen
            dimensions*, normalised or not; by default the standard normal's.
        levels: probabilities of the contours; ``()`` for none.
        dims: the latent dimensions drawn to the right and upwards.
        quantity: what labels are that are a quantity, written at the colour bar.
        ax: where to draw; a new pyplot figure if None.
        title: written above.

    Raises:
        ValueError: if `z` is not (n, latent), `labels` are not n, or `dims` lie outside z.

    >>> import torch
    >>> z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> ax = latent_scatter(z, z[:, 0] > 0)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['False', 'True', 'prior']
    >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    codes = finite(z, "z")
    if codes.ndim != 2 or codes.shape[1] < 2 or len(codes) == 0:
        raise ValueError(f"z must be (n, latent) with latent at least 2, got shape {codes.shape}")
    if len(dims) != 2:
        raise ValueError(f"dims must name two dimensions of z, got {tuple(dims)}")
    i, j = (whole(d, "dims", 0) for d in dims)
    if max(i, j) >= codes.shape[1]:
        raise ValueError(f"dims={tuple(dims)} lie outside the {codes.shape[1]} dimensions of z")
    if any(not 0 < level < 1 for level in levels):
        raise ValueError(f"levels are probabilities between 0 and 1, got {tuple(levels)}")
    colouring = _labels.colouring(labels, len(codes))
    x, y = codes[:, i], codes[:, j]
    if levels and prior_log_prob is not None:
        like = z if isinstance(z, Tensor) and z.is_floating_point() else torch.empty(0)
        reach = max(4.0, float(np.abs([x, y]).max()))
        found = _contours.regions(prior_log_prob, levels, reach, like)
    else:
        found = _contours.circles(levels)
    ax = _style.axes(ax, (5.4, 4.4))
    entries = _labels.scatter(ax, x, y, colouring, quantity)
    _contours.draw(ax, found)
    _labels.legend(ax, entries, [_contours.entry("prior")] if levels else [])
    ax.set_aspect("equal")
    _style.labels(ax, f"z[{i}]", f"z[{j}]")
    _style.title(ax, title)
    return ax


def kl_per_dimension(
    kl: Any,
    *,
    threshold: float | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    r"""Draw KL(q(z_d|x) || p(z_d)) of each latent dimension d in nats, the largest first.

    It shows how much each dimension tells of x, and how many tell nothing (posterior collapse).

    Args:
        kl: (latent,), or (n, latent) with a row for each example, over which it is averaged.
        threshold: in nats; dimensions below are drawn in grey and those above are counted.
        ax: where to draw; a new pyplot figure if None.
        title: written above; by default the total, which is the ELBO's KL where both p and q
            factorise over dimensions.

    Raises:
        ValueError: if `kl` is empty, not of one or two dimensions, or has NaN or infinite entries.

    >>> ax = kl_per_dimension([0.001, 2.5, 0.7], threshold=0.01)
    >>> [tick.get_text() for tick in ax.get_xticklabels()], ax.get_title()
    (['1', '2', '0'], '3 dimensions, 3.2 nats in all')
    >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    values = finite(kl, "kl")
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"kl must be (latent,) or (n, latent), got shape {values.shape}")
    values = values.mean(axis=0) if values.ndim == 2 else values
    order = np.argsort(-values, kind="stable")
    latent, total = len(values), values.sum()
    above = values[order] >= (-np.inf if threshold is None else threshold)
    few = latent <= NAMED
    place = np.arange(1, latent + 1)
    ax = _style.axes(ax, (min(max(3.4, 1.4 + 0.26 * latent), 6.8), 2.9))
    hues = np.where(above, _style.TRAIN, _style.MUTED)
    ax.bar(place, values[order], width=0.8 if few else 1.0, color=hues)
    if threshold is not None:
        text = f"{above.sum()} of {latent} at or above {threshold:g} nats"
        ax.axhline(threshold, color=_style.INK, lw=1, ls="--", label=text)
        ax.legend(fontsize=_style.TICK, frameon=False, loc="upper right")
        ax.margins(y=0.2)  # headroom for the legend over a row of equal bars
    if few:
        ax.set_xticks(place, [str(d) for d in order])
    spare = max(0.0, (4 - latent) / 2)  # so that one or two bars stay slender
    ax.set_xlim(0.4 - spare, latent + 0.6 + spare)
    what = "latent dimension" if few else "latent dimensions counted"
    _style.labels(ax, f"{what}, largest KL first", "KL (nats per example)")
    plural = "dimension" if latent == 1 else "dimensions"
    _style.title(ax, f"{latent} {plural}, {total:.1f} nats in all" if title is None else title)
    return ax
