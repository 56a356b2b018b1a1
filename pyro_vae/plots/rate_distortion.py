"""The rate-distortion plane: what the latent costs against what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.plots import _style
from pyro_vae.plots._values import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rate_distortion(
    rate: Any,
    distortion: Any,
    *,
    labels: Sequence[str] = (),
    ax: Axes | None = None,
) -> Axes:
    r"""Draw models as points (rate, distortion), joined in the order of their rates.

    .. math:: R = \mathrm{KL}(q(z|x)\,\|\,p(z)), \quad D = -\mathbb E_q[\log p(x|z)], \quad
              -\mathrm{ELBO} = R + D

    Models of one ELBO lie on a line of slope -1; some are drawn. Alemi et al. 2018, *Fixing a
    Broken ELBO*.

    Args:
        rate, distortion: ``(models,)``, nats per example.
        labels: a text at each point.
        ax: where to draw; a new pyplot figure if None.

    Raises:
        ValueError: lengths that differ, no model, or values that are not finite.

    >>> axes = rate_distortion([2.0, 10.0], [90.0, 70.0], labels=["4", "1"])
    >>> axes.get_xlabel()
    'rate R, nats per example'
    >>> import matplotlib.pyplot as plt; plt.close(axes.figure)
    """
    r, d = numbers(rate, "rate"), numbers(distortion, "distortion")
    if r.ndim != 1 or r.shape != d.shape or len(r) == 0:
        raise ValueError(
            f"rate and distortion are one value for each model, got {r.shape}, {d.shape}"
        )
    if labels and len(labels) != len(r):
        raise ValueError(f"there are {len(r)} models but {len(labels)} labels")
    if not (np.isfinite(r).all() and np.isfinite(d).all()):
        raise ValueError("rate and distortion must be finite")
    axis = _style.axes(ax, (5.0, 3.8))
    order = np.argsort(r)
    axis.plot(r[order], d[order], "o-", color=_style.TRAIN, ms=5)
    for place, texts in _apart(r, d, labels).items():
        text = ", ".join(texts)
        axis.annotate(text, place, (5, 5), textcoords="offset points", fontsize=_style.TICK)
    axis.margins(0.12)
    limits = axis.get_xlim(), axis.get_ylim()
    best = float((r + d).min())
    span = float((r + d).max()) - best
    for k, total in enumerate(np.linspace(best, best + max(span, 1.0), 4)):
        ends = np.array(limits[0])
        name = f"$-$ELBO = {best:.1f}, the best" if k == 0 else None
        axis.plot(ends, total - ends, color=_style.INK, lw=0.8, ls=":", alpha=0.6, label=name)
    axis.set(xlim=limits[0], ylim=limits[1])
    axis.legend(fontsize=_style.TICK, frameon=False)
    _style.labels(axis, "rate R, nats per example", "distortion D, nats per example")
    return axis


def _apart(r: np.ndarray, d: np.ndarray, labels: Sequence[str]) -> dict[tuple[float, float], list]:
    """The labels at each place; points that nearly coincide are one place."""
    near = 0.02 * np.array([np.ptp(r) or 1.0, np.ptp(d) or 1.0])
    places: dict[tuple[float, float], list[str]] = {}
    for point, label in zip(zip(r.tolist(), d.tolist(), strict=True), labels, strict=False):
        same = [p for p in places if (np.abs(np.subtract(p, point)) < near).all()]
        places.setdefault(same[0] if same else point, []).append(label)
    return places
