"""The book in the site: chapters are run before Sphinx reads its sources, then shown.

From one run come a chapter's page, its picture in the gallery and its notebook. The directive
``chapters`` shows the gallery::

    ```{chapters} 1 5
    ```
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nbformat
from chapters import Chapter, place_of_runs, read, run_all
from docutils import nodes
from docutils.statemachine import StringList
from notebooks import download, page
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "docs" / "_build"
PAGES = ROOT / "docs" / "tutorials"
EXTRA = BUILD / "extra"  # what goes to the root of the site as it is


def colab() -> str | None:
    """Where Colab finds the notebooks: the published site's branch, if the repository is known."""
    repository = os.environ.get("GITHUB_REPOSITORY")  # owner/name, set by GitHub's own builds
    if not repository:
        return None
    return f"https://colab.research.google.com/github/{repository}/blob/gh-pages/notebooks"


def make_pages(app: Sphinx) -> None:
    """Run the chapters, and write their pages, pictures and notebooks."""
    chapters = [read(file) for file in sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))]
    if app.builder.format == "html":  # translators need no outputs
        chapters = run_all(chapters, place_of_runs(BUILD, ROOT / "pyro_vae"))
    shutil.rmtree(EXTRA / "notebooks", ignore_errors=True)
    for chapter in chapters:
        exported = download(chapter, app.config.html_baseurl or "")
        _write(EXTRA / "notebooks" / f"{chapter.name}.ipynb", nbformat.writes(exported).encode())
        shown = page(chapter, colab())
        _write(PAGES / f"{chapter.name}.ipynb", nbformat.writes(shown).encode())
        if app.builder.format == "html":
            _write(PAGES / f"{chapter.name}.png", chapter.thumbnail[0])
    names = {chapter.name for chapter in chapters}
    for file in [*PAGES.glob("*.ipynb"), *PAGES.glob("*.png")]:
        if file.stem not in names:
            file.unlink()
    app.book = chapters  # type: ignore[attr-defined]


def _write(file: Path, content: bytes) -> None:
    """Only what changed, so that Sphinx reads only that again."""
    if not file.exists() or file.read_bytes() != content:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


class Chapters(SphinxDirective):
    """Cards of the chapters from the first number to the second."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        first, last = map(int, self.arguments)
        book: list[Chapter] = self.env.app.book  # type: ignore[attr-defined]
        chosen = [chapter for chapter in book if first <= chapter.about.number <= last]
        if not chosen:
            return []
        lines = [":::::{grid} 1 2 2 3", ":gutter: 3", ""]
        for chapter in chosen:
            self.env.note_dependency(str(PAGES / f"{chapter.name}.ipynb"))
            lines += self._card(chapter)
        lines.append(":::::")
        parent = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.get_location()), 0, parent)
        return parent.children

    def _card(self, chapter: Chapter) -> list[str]:
        picture = []
        if self.env.app.builder.format == "html":
            words = chapter.thumbnail[1].replace("\n", " ")
            picture = [f":img-top: tutorials/{chapter.name}.png", f":img-alt: {words}"]
        return [
            f"::::{{grid-item-card}} {chapter.about.number}. {chapter.about.title}",
            f":link: tutorials/{chapter.name}",
            ":link-type: doc",
            *picture,
            "",
            f"{chapter.about.purpose}.",
            "::::",
            "",
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    EXTRA.mkdir(parents=True, exist_ok=True)
    app.connect("builder-inited", make_pages, priority=400)
    app.add_directive("chapters", Chapters)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
