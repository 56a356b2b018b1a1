"""``pyro-vae resume RUN``."""

from __future__ import annotations

from pathlib import Path

from .build import build
from .errors import UsageError, warn
from .folder import RunFolder
from .options import add_run_options
from .parser import Parser
from .perform import train
from .run_argument import add_run


def main(words: list[str]) -> None:
    """Go on with a run, bit for bit as if it had never stopped."""
    parser = Parser(
        prog="pyro-vae resume",
        usage="pyro-vae resume RUN [options]",
        description="Go on with a run from its last checkpoint, as if it had never stopped.",
    )
    add_run(parser)
    add = parser.add_argument
    add("--epochs", type=int | None, default=None, metavar="N", help="new number of epochs in all")
    add("--device", type=str | None, default=None, metavar="NAME", help="another device")
    add_run_options(parser)
    options = parser.parse_args(words)
    folder = RunFolder(Path(options.run))
    config = folder.config(tuple(options.allow))
    done = folder.epochs_done()
    changes = {name: options[name] for name in ("epochs", "device") if options[name] is not None}
    built = build({**config, **changes})
    epochs = built.config["epochs"]
    if epochs < done:
        raise UsageError(f"--epochs {epochs}: the run has {done} already")
    with folder.continued(built.config):
        train(built, folder, options, resume=folder.checkpoint.exists())
    if epochs == done:
        warn(f"all {epochs} epochs were done; give --epochs for more")
    elif done and epochs != config["epochs"] and config["schedule"] != "constant":
        warn(
            f"the {config['schedule']} schedule was laid out for {config['epochs']} epochs; "
            f"after epoch {done} it was that of {epochs}"
        )
