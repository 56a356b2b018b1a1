"""``pyro-vae resume RUN``."""

from __future__ import annotations

from pathlib import Path

from .build import build
from .folder import RunFolder
from .options import add_run_options
from .parser import Parser, UsageError
from .run_argument import add_run
from .train import train


def main(words: list[str]) -> None:
    """Go on with a run, bit for bit as if it had never stopped."""
    parser = Parser(
        prog="pyro-vae resume",
        description="Go on with a run from its last checkpoint, as if it had never stopped.",
    )
    add_run(parser)
    parser.add_argument(
        "--epochs", type=int | None, default=None, help="new number of epochs in all"
    )
    add_run_options(parser)
    options = parser.parse_args(words)
    if options.out or options.overwrite:
        raise UsageError("resume goes on in the run's own folder: leave out --out and --overwrite")
    folder = RunFolder(Path(options.run))
    config = folder.config(tuple(options.allow))
    if options.epochs is not None:
        config["epochs"] = options.epochs
    built = build(config)
    train(built, config, folder, options, resume=folder.checkpoint.exists())
