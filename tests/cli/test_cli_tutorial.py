"""``pyro-vae tutorial``: chapters listed, run and copied, and what is said where one cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import pyro_vae
from pyro_vae.cli import chapters

ROOT = Path(pyro_vae.__file__).parents[1]
SCRIPT = """\
# %% [markdown]
# # 3. Two pictures
#
# A question. See [chapter 4](04_next.py) and {py:class}`~pyro_vae.priors.VampPrior`.
#
# You will see
#
# 1. that *one* is $\\\\log e$,
# 2. more.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ

# %% tags=["thumbnail"] mystnb={"image": {"alt": "a line"}}
import matplotlib.pyplot as plt

for _ in range(2):
    plt.figure()
    plt.plot([0, 1])
print("smoke" if SMOKE else "full")

# %% [markdown]
# ## Exercises
"""


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    """A book of two chapters, the second of which fails."""
    monkeypatch.setenv("PYRO_VAE_SMOKE", "1")  # and so put back, whatever a run makes of it
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "03_pictures.py").write_text(SCRIPT)
    wrong = SCRIPT.replace("# # 3. Two pictures", "# # 12. Wrong").replace("[0, 1]", "[0, 1], 'zz'")
    (folder / "12_wrong.py").write_text(wrong)
    (folder / "notes.py").write_text("not a chapter")
    monkeypatch.setattr(chapters, "folder", lambda: folder)
    yield folder
    plt.close("all")


def test_the_list_has_each_chapter_once(command, book, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = command.good("tutorial", "list").out.splitlines()
    assert lines[:2] == [" 3  Two pictures  One is log e", "12  Wrong         One is log e"]
    assert len(lines) == 4


def test_the_list_of_the_real_book(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    page = command.good("tutorial", "list").out
    files = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))
    numbers = [int(line[:2]) for line in page.splitlines() if line[:2].strip().isdigit()]
    assert numbers == [int(file.name[:2]) for file in files]
    assert max(map(len, page.splitlines())) <= 100 and not set("$*`\\") & set(page)


@pytest.mark.parametrize(("words", "said"), [((), "full"), (("--smoke",), "smoke")])
def test_a_chapter_runs_and_its_figures_are_pictures(command, book, words, said):
    out = command.good("tutorial", "run", "3", *words).out.splitlines()
    assert out[0] == said and out[2].startswith("chapter 3 took ")
    files = [Path(line) for line in out[3:]]
    assert [str(file) for file in files] == [f"tutorial-03/figure-{k}.png" for k in (1, 2)]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert plt.get_fignums() == []


def test_pictures_go_where_one_says(command, book):
    assert command.good("tutorial", "run", "03", "--out", "a/b").out.endswith("a/b/figure-2.png\n")
    assert Path("a/b/figure-1.png").exists() and not Path("tutorial-03").exists()


def test_a_chapter_that_fails_names_its_line(command, book):
    line = command.bad("tutorial", "run", 12)
    number = next(
        k
        for k, text in enumerate((book / "12_wrong.py").read_text().splitlines(), 1)
        if "'zz'" in text
    )
    assert line.startswith(f"12_wrong.py, line {number}: `plt.plot([0, 1], 'zz')`: ValueError: ")


def test_a_copy_is_the_chapter(command, book):
    assert command.good("tutorial", "copy", 3).out == "03_pictures.py\n"
    assert Path("03_pictures.py").read_text() == SCRIPT
    assert command.good("tutorial", "copy", 3, "new/folder").out == "new/folder/03_pictures.py\n"
    line = command.bad("tutorial", "copy", 3)
    assert line == "03_pictures.py is there already: --overwrite replaces it"
    Path("03_pictures.py").write_text("mine")
    command.good("tutorial", "copy", 3, "--overwrite")
    assert Path("03_pictures.py").read_text() == SCRIPT


def test_a_notebook_has_the_same_cells(command, book):
    command.good("tutorial", "copy", 3, "--notebook")
    found = json.loads(Path("03_pictures.ipynb").read_text())
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    kinds = [cell["cell_type"] for cell in found["cells"]]
    assert kinds == ["markdown", "code", "code", "markdown"]
    assert len({cell["id"] for cell in found["cells"]}) == 4
    first = "".join(found["cells"][0]["source"])
    assert first.startswith("# 3. Two pictures\n\nA question.") and first.endswith("2. more.")
    assert "[chapter 4](04_next.ipynb)" in first and "and `pyro_vae.priors.VampPrior`." in first
    assert found["cells"][1]["metadata"] == {"tags": ["remove-cell"]}
    assert found["cells"][2]["metadata"]["mystnb"] == {"image": {"alt": "a line"}}
    code = "\n".join("".join(c["source"]) for c in found["cells"] if c["cell_type"] == "code")
    assert compile(code, "notebook", "exec") and "# %%" not in code


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py")), ids=lambda path: path.stem
)
def test_cells_are_those_that_jupytext_finds(path):
    jupytext = pytest.importorskip("jupytext")
    text = path.read_text("utf-8")
    theirs = jupytext.reads(text, fmt="py:percent").cells
    ours = chapters.cells(text)
    assert [cell.text for cell in ours] == [cell.source for cell in theirs]
    assert [cell.markdown for cell in ours] == [c.cell_type == "markdown" for c in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tags == list(other.metadata.get("tags", []))


BAD = [
    (("run",), "run which chapter? One of 3, 12"),
    (("copy",), "copy which chapter? One of 3, 12"),
    (("run", "4"), "there is no chapter 4: choose from 3, 12"),
    (("run", "x"), "N takes a whole number, not 'x'"),
    (("list", "3"), "unexpected 3: `pyro-vae tutorial list` lists all"),
    (("copy", "3", "--smoke"), "--smoke is for `pyro-vae tutorial run`"),
    (("copy", "3", "--out", "x"), "--out is for `pyro-vae tutorial run`"),
    (("run", "3", "--notebook"), "--notebook is for `pyro-vae tutorial copy`"),
    (("run", "3", "there"), "'there' is for `pyro-vae tutorial copy`"),
    (("read", "3"), "list|run|copy: 'read' is not one of list, run, copy"),
    (("run", "3", "--smoky"), "unknown option --smoky; did you mean --smoke?"),
]


@pytest.mark.parametrize(("words", "line"), BAD)
def test_bad_words_are_one_line(command, book, words, line):
    assert command.bad("tutorial", *words) == line
    assert not list(Path().glob("tutorial-*")) and not list(Path().glob("*.py"))


def test_a_package_without_chapters_says_so(command, tmp_path, monkeypatch):
    monkeypatch.setattr(chapters, "PACKAGE", tmp_path / "pyro_vae")
    (tmp_path / "tutorials").mkdir()  # somebody else's, beside the installed package
    line = command.bad("tutorial", "list")
    assert line.startswith("this installation has no tutorials: there is no folder ")


def test_a_chapter_that_is_none_is_named(command, book):
    (book / "13_bare.py").write_text("# %%\nx = 1\n")
    assert "13_bare.py: a chapter begins with" in command.bad("tutorial", "list")


@pytest.mark.network  # the build fetches its backend
def test_the_chapters_travel_in_the_wheel(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = {Path(name).name for name in content.namelist() if "/_tutorials/" in name}
        assert {"explorer.html", "explorer.js"} <= {Path(n).name for n in content.namelist()}
    assert names == {file.name for file in (ROOT / "tutorials").glob("*.py")}
