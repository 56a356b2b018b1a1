"""A chapter as a page of the site, and as a notebook to download."""

from __future__ import annotations

import copy
import re

from chapters import Chapter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

INSTALL = "# The package, and with it torch and Pyro. Skip this where it is installed.\n"
INSTALL += "%pip install -q pyro-vae"

_CHAPTER_LINK = re.compile(r"\[([^\]]*)\]\((\d\d_\w+)\.py(#[\w-]*)?\)")
_ROLE = re.compile(r"\{(?:py:[a-z]+|doc|ref)\}`([^`]+)`")


def page(chapter: Chapter, colab: str | None) -> NotebookNode:
    """The chapter as MyST-NB reads it: links to other pages, and a line of downloads."""
    notebook = copy.deepcopy(chapter.notebook)
    links = [
        f"{{download}}`Notebook <../_build/extra/notebooks/{chapter.name}.ipynb>`",
        f"{{download}}`Script <../../tutorials/{chapter.file.name}>`",
    ]
    if colab is not None:
        links.append(f"[Open in Colab]({colab}/{chapter.name}.ipynb)")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _CHAPTER_LINK.sub(r"[\1](\2.ipynb\3)", cell.source)
        else:
            _natural_width(cell)
    heading, _, text = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = f"{heading}\n\n{' · '.join(links)}\n{text}"
    return notebook


def _natural_width(cell: NotebookNode) -> None:
    """Show a picture of twice the pixels at its size in inches."""
    for output in cell.outputs:
        width = output.get("metadata", {}).get("image/png", {}).get("width")
        if width is not None:
            image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
            image.setdefault("width", f"{width}px")


def download(chapter: Chapter, site: str) -> NotebookNode:
    """The chapter as a notebook that stands alone: it installs the package, and is plain Markdown.

    ``site`` is the address of the published site, for links to other chapters; without one they
    are plain text.
    """
    notebook = copy.deepcopy(chapter.notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source, site)
    install = new_code_cell(INSTALL)
    install.id = "install"
    notebook.cells.insert(1, install)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def plain_markdown(text: str, site: str = "") -> str:
    """MyST without what only Sphinx understands.

    >>> plain_markdown("See [chapter 7](07_collapse.py) and {py:func}`~pyro_vae.fit`.")
    'See chapter 7 and `fit`.'
    >>> plain_markdown("See [chapter 7](07_collapse.py).", "https://example.org/")
    'See [chapter 7](https://example.org/tutorials/07_collapse.html).'
    >>> plain_markdown("the {py:class}`prior <pyro_vae.priors.Prior>`, `{code}`, $a_{b}`c`$")
    'the prior, `{code}`, $a_{b}`c`$'
    """
    address = rf"[\1]({site.rstrip('/')}/tutorials/\2.html\3)" if site else r"\1"
    text = _CHAPTER_LINK.sub(address, text)
    return _ROLE.sub(lambda match: _as_code(match[1]), text)


def _as_code(target: str) -> str:
    titled = re.fullmatch(r"(.*?)\s*<[^>]+>", target)
    if titled:
        return titled[1]
    return f"`{target[1:].rpartition('.')[2] if target.startswith('~') else target}`"
