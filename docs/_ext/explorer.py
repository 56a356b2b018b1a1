"""Puts the page of ``latent_plane.py`` at the root of the site; its training is kept, too."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from book import BUILD, EXTRA, ROOT
from chapters import place_of_runs
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

log = logging.getLogger(__name__)
SCRIPT = Path(__file__).with_name("latent_plane.py")


def make_page(app: Sphinx) -> None:
    """Train, once for each state of the package and of the script."""
    if app.builder.format != "html":
        return
    version = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:16]
    kept = place_of_runs(BUILD, ROOT / "pyro_vae") / f"explorer-{version}.html"
    if not kept.exists():
        log.info("running %s", SCRIPT.name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = kept.with_suffix(".new.html")
        run = subprocess.run([sys.executable, SCRIPT, made], capture_output=True, text=True)
        if run.returncode:
            raise ExtensionError(f"{SCRIPT.name} fails:\n{run.stderr}")
        made.replace(kept)
    shutil.copyfile(kept, EXTRA / "explorer.html")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", make_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
