"""Chapters of the tutorials: Python scripts in cells, as Jupytext's py:percent has them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError

#: In a checkout beside the package; in an installed package within it.
FOLDERS = (Path(__file__).parents[2] / "tutorials", Path(__file__).parents[1] / "_tutorials")
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
    """A chapter's file, and what its first heading and paragraph say."""

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
    """The script as a Jupyter notebook (nbformat 4.5), not yet run."""
    parts = []
    for number, cell in enumerate(cells(script)):
        part: dict[str, Any] = {
            "cell_type": "markdown" if cell.markdown else "code",
            "id": f"cell-{number}",
            "metadata": cell.metadata,
            "source": cell.text.splitlines(keepends=True),
        }
        parts.append(part if cell.markdown else {**part, "execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": parts, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def chapters() -> list[Chapter]:
    """Every chapter that is installed, in order."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    if folder is None:
        raise UsageError(f"the tutorials are not installed: no folder {FOLDERS[-1]}")
    files = sorted(file for file in folder.glob("*.py") if FILE.fullmatch(file.name))
    return [read(file) for file in files]


def read(file: Path) -> Chapter:
    """A chapter's number, title and purpose: its first heading, and what it says first."""
    number = FILE.fullmatch(file.name)
    first = next((cell.text for cell in cells(file.read_text("utf-8")) if cell.markdown), "")
    heading, _, rest = first.partition("\n")
    title = re.fullmatch(r"# (?:\d+[.:]? )?(.+)", heading)
    if number is None or title is None:
        raise ValueError(f"{file.name}: its first cell must begin with a heading, `# N. Title`")
    paragraph = " ".join(rest.strip().split("\n\n")[0].split())
    sentence = re.split(r"[.!?:](?= |$)", paragraph)[0]
    return Chapter(file, int(number[1]), title[1], sentence)
