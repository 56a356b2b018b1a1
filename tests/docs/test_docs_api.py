"""Every folder of the package has its page, and the notebooks read well without Sphinx."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

import pyro_vae

DOCS = Path(__file__).parents[2] / "docs"
FOLDERS = [name for name in pyro_vae.__all__ if inspect.ismodule(getattr(pyro_vae, name))]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_the_package_has_a_page(folder):
    page = (DOCS / "api" / f"{folder}.md").read_text("utf-8")
    assert f".. parts:: pyro_vae.{folder}\n" in page
    assert f"\n{folder}\n" in (DOCS / "api" / "index.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "site", "plain"),
    [
        ("See [chapter 7](07_a_b.py).", "", "See chapter 7."),
        (
            "[chapter 7](07_a.py#x-y)",
            "https://a.org/",
            "[chapter 7](https://a.org/tutorials/07_a.html#x-y)",
        ),
        (
            "{py:func}`~pyro_vae.fit` and {py:class}`pyro_vae.priors.Prior`",
            "",
            "`fit` and `pyro_vae.priors.Prior`",
        ),
        ("a {py:class}`prior <pyro_vae.priors.Prior>`", "", "a prior"),
        (
            "`{key}`, $a_{b}$ and [x](https://a.org/07_a.py)",
            "",
            "`{key}`, $a_{b}$ and [x](https://a.org/07_a.py)",
        ),
    ],
)
def test_what_only_sphinx_understands_becomes_plain(monkeypatch, text, site, plain):
    for module in ("jupytext", "jupyter_cache", "sphinx"):
        pytest.importorskip(module)
    monkeypatch.syspath_prepend(DOCS / "_ext")
    from notebooks import plain_markdown

    monkeypatch.delitem(sys.modules, "notebooks")
    monkeypatch.delitem(sys.modules, "chapters")
    assert plain_markdown(text, site) == plain
