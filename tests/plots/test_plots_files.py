"""Figures: made when asked for, complete, closed by `save`; matplotlib loads only when used."""

from __future__ import annotations

import ast
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pyro_vae import plots

STANDARD = set(sys.stdlib_module_names)
DIGITS = torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(0))
CODES = torch.randn(100, 64, generator=torch.Generator().manual_seed(0))
HISTORY = {f"{p}{k}": np.arange(20.0) for p in ("", "valid_") for k in ("elbo", "kl")}


def decode(z: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(z), 8, 8)


PLOTS = {
    "images": lambda ax=None: plots.images(DIGITS, ax=ax),
    "one image": lambda ax=None: plots.images(DIGITS[:1], title="a long title " * 5, ax=ax),
    "samples": lambda ax=None: plots.samples(DIGITS[:2], ax=ax),
    "reconstructions": lambda ax=None: plots.reconstructions(DIGITS, DIGITS, title="t", ax=ax),
    "one pair": lambda ax=None: plots.reconstructions(DIGITS[:1], DIGITS[:1], ax=ax),
    "curves": lambda ax=None: plots.curves({"elbo": [-1e3, -1e2]}, best_epoch=2, ax=ax)[0],
    "scatter": lambda ax=None: plots.latent_scatter(CODES, np.arange(100) % 30, ax=ax),
    "quantity": lambda ax=None: plots.latent_scatter(CODES, CODES[:, 3], title="t", ax=ax),
    "manifold": lambda ax=None: plots.manifold(decode, title="t", ax=ax),
    "one cell": lambda ax=None: plots.manifold(decode, n=1, ax=ax),
    "kl": lambda ax=None: plots.kl_per_dimension(CODES[0, :32], threshold=0.1, ax=ax),
    "one kl": lambda ax=None: plots.kl_per_dimension([1.0], threshold=0.01, ax=ax),
    "traversals": lambda ax=None: plots.traversals(decode, CODES[0], title="t", ax=ax),
    "many rows": lambda ax=None: plots.traversals(decode, CODES[0], dims=range(40), ax=ax),
}


@pytest.mark.parametrize("name", PLOTS)
def test_nothing_is_cut_off_and_no_tick_labels_collide(name):
    ax = PLOTS[name]()
    figure = ax.figure
    figure.canvas.draw()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01 and box.y0 >= -0.01
    assert box.x1 <= width + 0.01 and box.y1 <= height + 0.01
    low, high = sorted(ax.get_xlim())
    ticks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    boxes = [text.get_window_extent() for at, text in ticks if low <= at <= high]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    low, high = sorted(ax.get_ylim())
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    boxes = [text.get_window_extent() for at, text in ticks if low <= at <= high]
    boxes.sort(key=lambda box: box.y0)
    assert all(a.y1 < b.y0 for a, b in pairwise(boxes))


@pytest.mark.parametrize(("rows", "side"), [(1, 0.6), (10, 0.6), (40, 11 / 40)])
def test_cells_keep_their_size_within_a_page(rows, side):
    ax = plots.traversals(decode, CODES[0], dims=range(rows))
    ax.figure.canvas.draw()
    box = ax.get_window_extent()
    dpi = ax.figure.dpi
    # Labels may take up to a tenth more than the room that was left for them.
    assert box.width / dpi / 9 == pytest.approx(side, rel=0.1)
    assert box.height / dpi / rows == pytest.approx(side, rel=0.1)


@pytest.mark.parametrize("name", PLOTS)
def test_given_axes_are_drawn_on_and_no_figure_is_made(name):
    given = Figure().subplots()
    assert PLOTS[name](given) is given
    assert given.has_data() and plt.get_fignums() == []


def test_a_new_figure_is_pyplots():
    ax = plots.images(DIGITS)
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure is plt.gcf()


def test_save_writes_and_closes(tmp_path):
    path = plots.save(plots.images(DIGITS), tmp_path / "new" / "folder" / "digits.png", dpi=50)
    assert path.read_bytes().startswith(b"\x89PNG") and plt.get_fignums() == []
    assert plots.save(plots.curves(HISTORY), str(tmp_path / "curves.svg")).stat().st_size > 0
    assert plt.get_fignums() == []


def test_save_scales_with_dpi_and_takes_sub_figures_and_bare_figures(tmp_path):
    sizes = [
        plt.imread(plots.save(plots.kl_per_dimension([1.0]), tmp_path / "a.png", dpi=dpi)).shape
        for dpi in (50, 150)
    ]
    assert sizes[1][0] / sizes[0][0] == pytest.approx(3, rel=0.02)
    figure = Figure(figsize=(6, 2))
    left, right = figure.subfigures(1, 2)
    plots.images(DIGITS, ax=right.subplots())
    plots.save(plots.kl_per_dimension([1.0], ax=left.subplots()), tmp_path / "both.png", dpi=50)
    assert plt.imread(tmp_path / "both.png").shape[1] > 200  # the whole figure, not one half


def test_save_closes_when_it_fails(tmp_path):
    with pytest.raises(ValueError, match="Format 'xyz' is not supported"):
        plots.save(plots.images(DIGITS), tmp_path / "digits.xyz")
    assert plt.get_fignums() == []


def test_importing_the_plots_loads_no_matplotlib_and_nothing_of_ours():
    folder = Path(plots.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text()).body:  # what runs on import
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] in {"pyro_vae", "numpy", "torch"} | STANDARD, path
                assert not name.startswith("pyro_vae") or name.startswith("pyro_vae.plots"), path
