"""Every chapter runs from its first cell to its last, and what it claims holds."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch

CHAPTERS = sorted((Path(__file__).parents[2] / "tutorials").glob("[0-9][0-9]_*.py"))
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def undisturbed(tmp_path, monkeypatch):
    """An empty folder, no window, and afterwards no figure and no setting left behind."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    dtype, gradients, threads = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )
    with matplotlib.rc_context():
        yield
        plt.close("all")
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
    torch.set_num_threads(threads)


@every_chapter
def test_in_smoke_mode(path, monkeypatch):
    monkeypatch.setenv("PYRO_VAE_SMOKE", "1")
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.slow
@every_chapter
def test_in_full(path, monkeypatch, capsys):
    monkeypatch.delenv("PYRO_VAE_SMOKE", raising=False)
    start = time.perf_counter()
    runpy.run_path(str(path), run_name="__main__")
    with capsys.disabled():
        print(f"\n{path.stem}: {time.perf_counter() - start:.0f} s")


def test_a_claim_that_fails_is_seen(tmp_path):
    path = tmp_path / "99_wrong.py"
    path.write_text("# %%\nfound = 1\nassert found == 2\n")
    with pytest.raises(AssertionError):
        runpy.run_path(str(path), run_name="__main__")


def test_there_are_chapters():
    assert [int(path.name[:2]) for path in CHAPTERS] == sorted({int(p.name[:2]) for p in CHAPTERS})
    assert CHAPTERS
