"""The look that every plot shares: colours, text sizes and how an Axes is obtained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lines: the blue, vermilion and grey of Okabe and Ito (2008), safe for all colour visions.
TRAIN = "#0072B2"
VALID = "#D55E00"
MUTED = "#9A9A9A"
INK = "#404040"
# Pixels that are not a number (missing data): a colour that no grey image contains.
MISSING = "#E6B8AF"
# Classes: the eight colours of Okabe and Ito and two more, a violet and a brown, found by search
# to stay apart from them and from white in CIELAB under normal and all three deficient visions.
CLASSES = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#8020E0",
    "#000000",
    "#804020",
    "#F0E442",
)
# Past ten classes the colours begin again with the next marker.
MARKERS = ("o", "^", "s", "D", "v")
CONTINUOUS = "viridis"

# Relative to the user's own font size, so a poster's rcParams scale the whole picture.
TITLE, LABEL, TICK = "medium", "small", "x-small"


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax`, or the Axes of a new pyplot figure of `size` inches.

    pyplot, and not a bare ``Figure``, because that is what a notebook displays by itself;
    who makes many figures closes them (``plots.save`` does).
    """
    from matplotlib.axes import Axes

    if ax is not None:
        if not isinstance(ax, Axes):
            raise TypeError(f"ax must be a matplotlib Axes, got {type(ax).__name__}")
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def title(ax: Axes, text: str | None) -> None:
    """Write the title if there is one; a long one wraps where the figure ends."""
    if text:
        # matplotlib wraps at spaces, inside a formula too, which it then cannot read.
        ax.set_title(text, fontsize=TITLE, wrap="$" not in text)


def labels(ax: Axes, x: str, y: str) -> None:
    """Name both axes and take off the two spines that carry no scale."""
    ax.set_xlabel(x, fontsize=LABEL)
    ax.set_ylabel(y, fontsize=LABEL)
    ax.tick_params(labelsize=TICK)
    ax.spines[["top", "right"]].set_visible(False)


def number(value: float) -> str:
    """A tick's text: at most two decimals, a true minus sign, and never a minus before zero."""
    return f"{round(float(value), 2) + 0.0:g}".replace("-", "\N{MINUS SIGN}")
