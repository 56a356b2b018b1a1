"""``pyro-vae tutorial list``, ``pyro-vae tutorial run N`` and ``pyro-vae tutorial copy N``."""

from __future__ import annotations

import json
import os
import runpy
import textwrap
import time
import traceback
from pathlib import Path
from typing import Literal

from jsonargparse import Namespace

from .chapters import Chapter, chapters, notebook
from .errors import UsageError
from .help import width
from .options import add_debug
from .parser import Parser

#: The options and the argument that each action takes besides its chapter.
TAKES = {"list": (), "run": ("smoke", "out"), "copy": ("folder", "notebook", "overwrite")}


def main(words: list[str]) -> None:
    """List the chapters, run one here, or copy one to change it."""
    parser = Parser(
        prog="pyro-vae tutorial",
        usage="pyro-vae tutorial list\n"
        "       pyro-vae tutorial run N [--smoke] [--out FOLDER]\n"
        "       pyro-vae tutorial copy N [FOLDER] [--notebook] [--overwrite]",
        description="The chapters of the book: list them, run one, or copy one to change it.",
    )
    add = parser.add_argument
    add("action", type=Literal["list", "run", "copy"], metavar="list|run|copy", help="what to do")
    add("chapter", type=int | None, nargs="?", metavar="N", help="the number of a chapter")
    add(
        "folder",
        type=str | None,
        nargs="?",
        metavar="FOLDER",
        help="copy: where to (default: here)",
    )
    add("--smoke", action="store_true", help="run: quickly, with few data, to see that it runs")
    out = "run: where its pictures go (default: tutorial-NN)"
    add("--out", type=str | None, default=None, metavar="FOLDER", help=out)
    add("--notebook", action="store_true", help="copy: as a Jupyter notebook")
    add("--overwrite", action="store_true", help="copy: replace a file that is there")
    add_debug(parser)
    options = parser.parse_args(words)
    for action, names in TAKES.items():
        for name in names if action != options.action else ():
            if options[name]:
                shown = repr(options[name]) if name == "folder" else f"--{name}"
                raise UsageError(f"{shown} is for `pyro-vae tutorial {action}`")
    if options.action == "list":
        if options.chapter is not None:
            raise UsageError(f"unexpected {options.chapter}: `pyro-vae tutorial list` lists all")
        print(listed(chapters()))
    elif options.action == "run":
        run(chosen(options), options.smoke, options.out)
    else:
        print(copy(chosen(options), Path(options.folder or "."), options))


def listed(found: list[Chapter]) -> str:
    """A table of the chapters: number, title, the first thing that one sees there."""
    column = max(len(chapter.title) for chapter in found) + 6
    lines = []
    for chapter in found:
        head = f"{chapter.number:2d}  {chapter.title}".ljust(column)
        first, *more = textwrap.wrap(chapter.purpose, max(width() - column, 24))
        lines += [head + first, *(" " * column + line for line in more)]
    return "\n".join([*lines, "", "Run one: pyro-vae tutorial run 1"])


def chosen(options: Namespace) -> Chapter:
    """The chapter whose number the options give."""
    found = {chapter.number: chapter for chapter in chapters()}
    numbers = ", ".join(map(str, found))
    if options.chapter is None:
        raise UsageError(f"{options.action} which chapter? One of {numbers}")
    if options.chapter not in found:
        raise UsageError(f"there is no chapter {options.chapter}: choose from {numbers}")
    return found[options.chapter]


def run(chapter: Chapter, smoke: bool, out: str | None) -> None:
    """Run a chapter as a script and leave its figures as pictures."""
    import matplotlib
    import matplotlib.pyplot as plt

    from pyro_vae import plots

    folder = Path(out or f"tutorial-{chapter.number:02d}")
    folder.mkdir(parents=True, exist_ok=True)
    matplotlib.use("agg")
    os.environ.pop("PYRO_VAE_SMOKE", None)
    if smoke:
        os.environ["PYRO_VAE_SMOKE"] = "1"
    start = time.perf_counter()
    try:
        runpy.run_path(str(chapter.path), run_name="__main__")
    except Exception as error:
        raise RuntimeError(stopped(chapter, error)) from error
    pictures = [plt.figure(number) for number in plt.get_fignums()]
    print(f"\nchapter {chapter.number} took {time.perf_counter() - start:.0f} s")
    for number, figure in enumerate(pictures, 1):
        print(plots.save(figure.axes, folder / f"figure-{number}.png"))


def stopped(chapter: Chapter, error: Exception) -> str:
    """In which line of a chapter an error arose, and what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    line = [frame.lineno for frame in frames if frame.filename == str(chapter.path)][-1] or 1
    code = chapter.path.read_text("utf-8").splitlines()[line - 1].strip()
    text = f": {error}" if str(error) else ""
    return f"{chapter.path.name}, line {line}: `{code}`: {type(error).__name__}{text}"


def copy(chapter: Chapter, folder: Path, options: Namespace) -> Path:
    """Write a chapter into a folder, as it is or as a notebook; return the file."""
    text = chapter.path.read_text("utf-8")
    if options.notebook:
        text = json.dumps(notebook(text), indent=1, ensure_ascii=False) + "\n"
    file = folder / chapter.path.with_suffix(".ipynb" if options.notebook else ".py").name
    if file.exists() and not options.overwrite:
        raise UsageError(f"{file} is there already: --overwrite replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file
