"""Chapters of the tutorials: Python scripts in cells, as Jupytext's py:percent has them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError
from .plain import symbols

PACKAGE = Path(__file__).parents[1]
FILE = re.compile(r"(\d\d)_\w+\.py")
MARKER = re.compile(r"# %%\s*(?P<markdown>\[markdown\])?\s*(?P<rest>.*)")


@dataclass(frozen=True)
class Cell:
    """A cell's text without markers, the line of the file on which it begins, its metadata."""

    markdown: bool
    text: str
    line: int
    metadata: dict[str, Any]

    @property
    def tags(self) -> list[str]:
        """The tags that Jupyter shows."""
        return list(self.metadata.get("tags", ()))


@dataclass(frozen=True)
class Chapter:
    """A chapter's file, its number and title, and the first thing that one sees in it."""

    path: Path
    number: int
    title: str
    purpose: str


def cells(script: str) -> list[Cell]:
    """The cells of a script; what stands before the first marker is its header, and left out.

    >>> for cell in cells('# %% [markdown]\\n# # 1. A\\n#\\n# B.\\n\\n# %% tags=["c"]\\nx = 1\\n'):
    ...     print(cell)
    Cell(markdown=True, text='# 1. A\\n\\nB.', line=1, metadata={})
    Cell(markdown=False, text='x = 1', line=6, metadata={'tags': ['c']})
    """
    found: list[tuple[re.Match[str], int, list[str]]] = []
    for number, line in enumerate(script.splitlines(), 1):
        marker = MARKER.fullmatch(line)
        if marker:
            found.append((marker, number, []))
        elif found:
            found[-1][2].append(line)
    return [_cell(marker, number, lines) for marker, number, lines in found]


def _cell(marker: re.Match[str], number: int, lines: list[str]) -> Cell:
    markdown = marker["markdown"] is not None
    if markdown:
        lines = [re.sub(r"^# ?", "", line) for line in lines]
    metadata, rest = {}, marker["rest"]
    while key := re.match(r"\s*(\w+)=", rest):
        rest = rest[key.end() :]
        metadata[key[1]], end = json.JSONDecoder().raw_decode(rest)
        rest = rest[end:]
    return Cell(markdown, "\n".join(lines).strip("\n"), number, metadata)


def notebook(script: str) -> dict[str, Any]:
    """The script as a Jupyter notebook (nbformat 4.5), not yet run.

    Links between chapters lead to notebooks, and names that are links on the site are code.
    """
    parts = []
    for number, cell in enumerate(cells(script)):
        text = cell.text
        if cell.markdown:
            text = re.sub(r"(\]\(\d\d_\w+)\.py", r"\1.ipynb", text)
            text = re.sub(r"\{[\w:-]+\}(`)~?(?=[^`]+`)", r"\1", text)
        part: dict[str, Any] = {
            "cell_type": "markdown" if cell.markdown else "code",
            "id": f"cell-{number}",
            "metadata": cell.metadata,
            "source": text.splitlines(keepends=True),
        }
        parts.append(part if cell.markdown else {**part, "execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": parts, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def folder() -> Path:
    """Where the chapters are: within an installed package, beside it in a checkout."""
    installed, checkout = PACKAGE / "_tutorials", PACKAGE.parent / "tutorials"
    if installed.is_dir():
        return installed
    if checkout.is_dir() and (PACKAGE.parent / "pyproject.toml").is_file():
        return checkout
    raise UsageError(f"this installation has no tutorials: there is no folder {installed}")


def chapters() -> list[Chapter]:
    """Every chapter that is installed, in order."""
    return [read(file) for file in sorted(folder().iterdir()) if FILE.fullmatch(file.name)]


def read(file: Path) -> Chapter:
    """A chapter's number and title, from its first heading, and what it shows first.

    That is the first item of its list "You will see".
    """
    number = FILE.fullmatch(file.name)
    first = next((cell.text for cell in cells(file.read_text("utf-8")) if cell.markdown), "")
    title = re.match(r"# \d+\. (.+)\n", first)
    shown = re.search(r"^You will see\s+1\. (.+?)(?=\n\d+\. |\n\n|\Z)", first, re.DOTALL | re.M)
    if number is None or title is None or shown is None:
        raise UsageError(f"{file}: a chapter begins with `# N. Title` and a list `You will see`")
    text = readable(shown[1]).rstrip(",;.").removeprefix("that ")
    return Chapter(file, int(number[1]), title[1], text[:1].upper() + text[1:])


def readable(markdown: str) -> str:
    r"""A sentence of Markdown as plain text in one line.

    >>> readable(r"a *bound* on $\log p(x)$, see [chapter 1](01_a.py) and `terms`")
    'a bound on log p(x), see chapter 1 and terms'
    """
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(markdown.split()))
    text = re.sub(r"\$([^$]*)\$", lambda found: symbols(found[1]), text)
    return re.sub(r"(?<!\w)(\*\*?|`)(\S.*?)\1", r"\2", text)
