"""The web page of `explorer`: its files and what it shows, put into one."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.plots import _labels, _style
from pyro_vae.plots._decoded import quantile_ticks

HERE = Path(__file__).parent
SHADES = 64  # of the colours of a quantity
# The colours of classes on a dark ground: near those of `_style`, but moved by search to stay apart
# from one another and from it in CIELAB under normal and all three deficient visions.
DARK = (
    "#1F7CC1",
    "#EC8C00",
    "#0FDF83",
    "#ED563E",
    "#B1B9FF",
    "#F3A1BD",
    "#9664FF",
    "#FFFFFF",
    "#956F67",
    "#FFE31F",
)


def page(
    title: str,
    cells: np.ndarray,
    axes: np.ndarray,
    codes: np.ndarray | None,
    labels: Any,
    *,
    even: bool,
) -> str:
    """Return the page of RGB images (n * n, h, w, 3) on the grid with coordinates (2, n)."""
    n = axes.shape[1]
    data = {
        "n": n,
        "height": cells.shape[1],
        "width": cells.shape[2],
        "atlas": "data:image/png;base64," + base64.b64encode(png(cells, n)).decode(),
        **{f"z{d}": np.round(axes[d], 6).tolist() for d in (0, 1)},
        **{f"ticks{d}": _ticks(axes[d]) for d in (0, 1)},
        **_points(codes, labels, axes),
    }
    parts = {
        "title": html.escape(title),
        "style": (HERE / "explorer.css").read_text("utf-8").strip(),
        "note": html.escape(_note(axes, codes, even)),
        # No tag can end the script's element, whatever a label holds.
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "script": "\n".join(
            (HERE / name).read_text("utf-8").strip() for name in ("explorer_draw.js", "explorer.js")
        ),
    }
    template = (HERE / "explorer.html").read_text("utf-8")
    return re.sub("@(" + "|".join(parts) + ")@", lambda match: parts[match[1]], template)


def png(cells: np.ndarray, n: int) -> bytes:
    """Lay RGB cells (n * n, h, w, 3) in [0, 1] row by row into one PNG, grey where they are."""
    from PIL import Image

    _, h, w, _ = cells.shape
    atlas = cells.reshape(n, n, h, w, 3).transpose(0, 2, 1, 3, 4).reshape(n * h, n * w, 3)
    pixels = np.round(255 * atlas).astype(np.uint8)
    grey = (pixels == pixels[..., :1]).all()
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def _ticks(values: np.ndarray) -> list[tuple[float, str]]:
    """Round numbers, and where they fall as a fraction of the axis."""
    at, texts = quantile_ticks(values, np.linspace(0.0, 1.0, len(values)))
    return list(zip(np.round(at, 4).tolist(), texts, strict=True))


def _points(codes: np.ndarray | None, labels: Any, axes: np.ndarray) -> dict[str, Any]:
    """Codes as fractions of the axes, and their colours."""
    if codes is None:
        return {}
    # In a fixed random order: drawn class by class, the last would hide the others.
    order = np.random.default_rng(0).permutation(len(codes))
    fraction = np.linspace(0.0, 1.0, axes.shape[1])
    x, y = (np.interp(codes[order, d], axes[d], fraction) for d in (0, 1))
    points: dict[str, Any] = {"x": np.round(x, 4).tolist(), "y": np.round(y, 4).tolist()}
    by = _labels.colouring(labels, len(codes))
    if by is None:
        points["kind"] = [0] * len(codes)
        return {"points": points, "light": [_style.TRAIN], "dark": [DARK[0]]}
    values = by.values[order]
    if by.names:
        points["kind"] = values.tolist()
        return {"points": points, "light": _style.CLASSES, "dark": DARK, "names": by.names}
    low, high = float(values.min()), float(values.max())
    unit = (values - low) / (high - low or 1.0)
    points["kind"] = np.round((SHADES - 1) * unit).astype(int).tolist()
    points["text"] = [f"{value:.4g}" for value in values]
    return {
        "points": points,
        "range": [f"{low:.4g}", f"{high:.4g}"],
        # Without the end that is close to the ground.
        "light": _shades(0.0, 0.9),
        "dark": _shades(0.2, 1.0),
    }


def _shades(low: float, high: float) -> list[str]:
    import matplotlib
    from matplotlib.colors import to_hex

    places = np.linspace(low, high, SHADES)
    return [to_hex(colour) for colour in matplotlib.colormaps[_style.CONTINUOUS](places)]


def _note(axes: np.ndarray, codes: np.ndarray | None, even: bool) -> str:
    """What is decoded and what is interpolated, in plain words."""
    n = axes.shape[1]
    if even:
        steps = [f"{step:.3g}" for step in axes[:, 1] - axes[:, 0]]
        apart = f"{steps[0]} apart in z[0] and {steps[1]} in z[1]"
    else:
        apart = f"1/{n} of the prior's probability apart in either dimension"
    text = (
        f"The decoder was asked at {n} × {n} points, {apart}. Between them the picture is "
        f"interpolated (bilinear) from the four images around."
    )
    if codes is not None:
        beyond = int(((codes < axes[:, 0]) | (codes > axes[:, -1])).any(axis=1).sum())
        text += f" Dots are {len(codes)} encoded examples"
        text += f"; {beyond} lie beyond the plane and are shown on its edge." if beyond else "."
    return text
