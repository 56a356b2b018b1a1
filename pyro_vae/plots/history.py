"""A run's history: the bound and its two parts against the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.plots import _style
from pyro_vae.plots._values import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {
    "elbo": "ELBO",
    "reconstruction": r"reconstruction, $E_q[\log p(x \mid z)]$",
    "kl": r"$\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))$",
}
SPLITS = {"": ("training", _style.TRAIN), "valid_": ("validation", _style.VALID)}
# Up to so many epochs each is marked, so that a run of one epoch shows too.
MARKED = 30


def curves(
    history: Mapping[str, Sequence[float | None] | Any],
    *,
    best_epoch: int | None = None,
    skip: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
) -> tuple[Axes, ...]:
    r"""Draw ELBO = E_q[log p(x|z)] - KL(q(z|x) || p(z)) and its two parts against the epoch.

    Each quantity that `history` knows gets a panel of its own, for they live on scales of their
    own; training and validation share it.

    Args:
        history: name to values, one for each epoch, or what `fit` returns. Drawn are ``elbo``,
            ``reconstruction`` and ``kl``, and each with the prefix ``valid_``, in nats per example;
            ``epoch`` gives the epochs, else they count from 1. Other names are ignored; None or NaN
            is a gap over which the line goes on (validation every fifth epoch, say).
        best_epoch: marked by a vertical line in every panel.
        skip: leave out so many epochs at the start, whose large changes flatten all later ones.
        ax: as many Axes as there are panels; a new pyplot figure if None.

    Returns:
        The Axes of the panels, in the order ELBO, reconstruction, KL.

    Raises:
        ValueError: if `history` has nothing to draw, or its columns differ in length.

    >>> axes = curves({"elbo": [-120.0, -100.0], "valid_elbo": [-118.0, -101.0], "kl": [9.0, 12.0]})
    >>> len(axes), axes[1].lines[0].get_ydata()
    (2, array([ 9., 12.]))
    >>> [text.get_text() for text in axes[0].get_legend().get_texts()]
    ['training', 'validation']
    >>> import matplotlib.pyplot as plt; plt.close(axes[0].figure)
    """
    from matplotlib.ticker import MaxNLocator

    columns = {
        prefix + name: _column(history[prefix + name], prefix + name)
        for name in PANELS
        for prefix in SPLITS
        if prefix + name in history
    }
    if not any(np.isfinite(values).any() for values in columns.values()):
        raise ValueError(
            f"history has no values of {', '.join(PANELS)}, with or without 'valid_'; "
            f"it has {', '.join(map(str, getattr(history, 'columns', history))) or 'nothing'}"
        )
    some = len(next(iter(columns.values())))
    epoch = _column(history["epoch"], "epoch") if "epoch" in history else np.arange(1.0, some + 1)
    for name, values in columns.items():
        if len(values) != len(epoch):
            raise ValueError(f"history has {len(epoch)} epochs but {len(values)} of {name!r}")
    if not 0 <= skip < len(epoch):
        raise ValueError(f"skip={skip} leaves nothing of {len(epoch)} epochs")
    panels = [name for name in PANELS if name in columns or f"valid_{name}" in columns]
    axes = _panels(ax, len(panels))
    for axis, name in zip(axes, panels, strict=True):
        for prefix, (label, colour) in SPLITS.items():
            if prefix + name in columns:
                values = columns[prefix + name][skip:]
                known = np.isfinite(values)
                mark = "o" if known.sum() <= MARKED else None
                at, values = epoch[skip:][known], values[known]
                axis.plot(at, values, marker=mark, ms=3, color=colour, label=label)
        if best_epoch is not None:
            text = f"best epoch: {best_epoch}"
            axis.axvline(best_epoch, color=_style.INK, lw=1, ls="--", label=text)
        locator = MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
        axis.xaxis.set_major_locator(locator)
        _style.labels(axis, "epoch", "nats per example")
        _style.title(axis, PANELS[name])
    # One legend for all panels, with what any of them shows.
    entries = {
        text: handle
        for axis in axes
        for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    axes[0].legend(list(entries.values()), list(entries), fontsize=_style.TICK, frameon=False)
    return axes


def _column(values: Any, name: str) -> np.ndarray:
    """One column of the history, None read as NaN."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        try:
            values = [np.nan if value is None else float(value) for value in values]
        except (TypeError, ValueError) as error:
            raise TypeError(f"history[{name!r}] must hold numbers or None: {error}") from error
    array = numbers(values, f"history[{name!r}]")
    if array.ndim != 1:
        raise ValueError(f"history[{name!r}] must be one value for each epoch, got {array.shape}")
    return array


def _panels(ax: Axes | Sequence[Axes] | None, count: int) -> tuple[Axes, ...]:
    if ax is not None:
        given = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(given) != count:
            raise ValueError(f"this history needs {count} Axes, got {len(given)}")
        return tuple(_style.axes(one, (0, 0)) for one in given)
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(3.2 * count + 0.4, 2.9), layout="constrained")
    return tuple(np.ravel(figure.subplots(1, count)))
