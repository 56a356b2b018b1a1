"""``pyro-vae train``."""

from __future__ import annotations

from pathlib import Path

from .build import build
from .folder import RunFolder, default_folder
from .options import add_out_options, add_run_options, as_config, training_parser
from .part_help import asked_page
from .perform import train


def main(words: list[str]) -> None:
    """Train a VAE and leave a run folder."""
    page = asked_page(words)
    if page is not None:
        print(page)
        return
    parser = training_parser()
    add_run_options(parser)
    add_out_options(parser)
    options = parser.parse_args(words)
    built = build(as_config(options))
    folder = RunFolder(Path(options.out) if options.out else default_folder(options.data))
    with folder.begun(built.config, options.overwrite):
        train(built, folder, options, resume=False)
