"""The chapters of the book: scripts in ``tutorials/``, read and executed.

A run is kept under a hash of the chapter's code, of the package's code and of the mode: prose may
change without another run, the package may not.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path

import jupytext
import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from nbformat import NotebookNode
from sphinx.errors import ExtensionError
from sphinx.util import logging

from pyro_vae.cli import chapters as cli

log = logging.getLogger(__name__)
getLogger("traitlets").setLevel("ERROR")  # Jupyter's own words on every run

SECONDS = 600  # that one cell of a chapter may take
SMOKE = "PYRO_VAE_SMOKE" in os.environ  # as the chapters decide it

#: Two pixels for one, so that pictures are sharp on every screen.
KERNEL = ["--InlineBackend.figure_formats={'retina'}", "--log-level=ERROR"]

#: Pyro imports tqdm, which warns in a notebook without ipywidgets. No chapter shows a bar.
os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")


@dataclass(frozen=True)
class Chapter:
    """One chapter: its script, what it says of itself, and the notebook with or without outputs."""

    file: Path
    about: cli.Chapter  # its number, title and purpose, as `pyro-vae tutorial list` has them
    notebook: NotebookNode

    @property
    def name(self) -> str:
        """Such as ``01_the_evidence_lower_bound``."""
        return self.file.stem

    @property
    def thumbnail(self) -> tuple[bytes, str]:
        """The PNG of the cell tagged ``thumbnail``, and the words for who cannot see it."""
        for cell in self.notebook.cells:
            if "thumbnail" in cell.metadata.get("tags", ()):
                for output in cell.outputs:
                    if "image/png" in output.get("data", {}):
                        words = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
                        return base64.b64decode(output.data["image/png"]), words
        raise ExtensionError(f"{self.file.name}: no cell with a picture is tagged `thumbnail`")


def read(file: Path) -> Chapter:
    """A chapter that has not run."""
    notebook = jupytext.read(file, fmt="py:percent")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # jupytext's are random: every build would be another
    return Chapter(file, cli.read(file), notebook)


def run(chapter: Chapter, kept: Path) -> Chapter:
    """The chapter with its outputs, from the runs ``kept`` in a folder or from a new one.

    Raises ``ExtensionError`` with the failing cell where it does not run to its end.
    """
    cache = get_cache(kept)
    try:
        _, notebook = cache.merge_match_into_notebook(chapter.notebook)
        return replace(chapter, notebook=notebook)
    except KeyError:
        log.info("running %s", chapter.file.name)
    scratch = kept / "scratch" / chapter.name  # what a chapter writes stays out of the tree
    scratch.mkdir(parents=True, exist_ok=True)
    result = single_nb_execution(
        chapter.notebook,
        cwd=str(scratch),
        timeout=SECONDS,
        allow_errors=False,
        extra_arguments=KERNEL,
    )
    if result.err is not None:
        raise ExtensionError(f"{chapter.file.name} fails:\n{_without_colour(str(result.err))}")
    log.info("ran %s in %.0f s", chapter.file.name, result.time)
    for cell in chapter.notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_address(output)]
    bundle = CacheBundleIn(
        chapter.notebook, str(chapter.file), data={"execution_seconds": result.time}
    )
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    return chapter


def run_all(chapters: list[Chapter], kept: Path) -> list[Chapter]:
    """Run them one after the other; raise ``ExtensionError`` at the end for all that failed."""
    finished, failures = [], []
    for chapter in chapters:
        try:
            finished.append(run(chapter, kept))
        except ExtensionError as failure:
            failures.append(str(failure))
    if failures:
        raise ExtensionError("\n\n".join(failures))
    return finished


def place_of_runs(build: Path, package: Path) -> Path:
    """Where runs are kept: a folder for each state of the package's code and each mode."""
    code = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        code.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes() + b"\0")
    return build / "runs" / f"{'smoke' if SMOKE else 'full'}-{code.hexdigest()[:16]}"


def _is_address(output: NotebookNode) -> bool:
    """Whether a result is only where an object lies, as of ``torch.manual_seed(0)`` at an end."""
    text = output.get("data", {}).get("text/plain", "")
    return output.output_type == "execute_result" and bool(re.fullmatch(r"<.* at 0x\w+>", text))


def _without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
