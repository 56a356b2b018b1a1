"""What was measured, as Markdown and as two pictures."""

from __future__ import annotations

import math
from pathlib import Path

from growth import AXES, LABELS
from interleave import Timing

DOCS = Path(__file__).parents[2] / "docs"
COLORS = ("#777777", "#d1495b", "#00798c")


def table(name: str, timings: dict[str, Timing], reference: str, floor: float | None) -> list[str]:
    """The Markdown lines of one setting."""
    base = timings[reference].least
    lines = [
        f"### {name}",
        "",
        "| step | ÷ stock Pyro | least, ms | median, ms | until ready, s |",
        "|---|---|---|---|---|",
    ]
    for contender, t in timings.items():
        ratio = f"{t.least / base:.2f}"
        ratio = f"**{ratio}**" if contender.startswith("CompiledSVI") else ratio
        lines.append(f"| {contender} | {ratio} | {t.least:.2f} | {t.median:.2f} | {t.first:.1f} |")
    if floor is not None:
        lines.append(f"| *the matrix products alone* | {floor / base:.2f} | {floor:.2f} | | |")
    return [*lines, ""]


def alone_table(measured: dict[str, dict[str, float]]) -> list[str]:
    """Memory and seconds of contenders in processes of their own."""
    lines = ["| | first step, s | ready, s | peak memory, MiB |", "|---|---|---|---|"]
    for name, row in measured.items():
        cells = f"{row['first']:.1f} | {row['ready']:.1f} | {row['mebibytes']:.0f}"
        lines.append(f"| {name} | {cells} |")
    return [*lines, ""]


def draw_steps(results: dict[str, dict[str, Timing]], path: Path) -> None:
    """Bars: the least milliseconds of everybody, a panel a setting."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for timings in results.values() for name in timings))
    figure, panels = plt.subplots(
        1, len(results), figsize=(3.1 * len(results) + 2.6, 0.34 * len(names) + 1.2), sharey=True
    )
    for panel, (title, timings) in zip(panels, results.items(), strict=True):
        for row, name in enumerate(names):
            if name not in timings:
                continue
            least = timings[name].least
            panel.barh(row, least, color=COLORS[2] if name.startswith("Compiled") else "#bbbbbb")
            panel.text(least, row, f" {least:.2g}", va="center", fontsize=8)
        panel.set_title(title.replace(", ", ",\n", 1), fontsize=9)
        panel.set_xlabel("ms a step")
        panel.margins(x=0.18)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_growth(grown: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Lines on logarithmic axes, a panel an axis of growth."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(grown), figsize=(3.6 * len(grown), 3.2), sharey=True)
    for panel, (axis, series) in zip(panels, grown.items(), strict=True):
        for color, (name, values) in zip(COLORS, series.items(), strict=True):
            points = [(x, y) for x, y in zip(AXES[axis], values, strict=True) if not math.isnan(y)]
            if len(points) > 1:
                panel.plot(*zip(*points, strict=True), "o-", color=color, label=name, ms=4)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel(LABELS[axis])
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("ms a step")
    panels[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write(lines: list[str], kind: str) -> Path:
    """Put the lines between the markers of this device in the benchmarks page."""
    page = DOCS / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- steps on {kind}: begin -->", f"<!-- steps on {kind}: end -->"
    if begin not in text or end not in text:
        raise ValueError(f"{page.name} lacks the lines {begin!r} and {end!r}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n{chr(10).join(lines)}\n{end}{after}", encoding="utf-8")
    return page
