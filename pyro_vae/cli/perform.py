"""Train into a run folder, then evaluate, draw and report: what `train` and `resume` share."""

from __future__ import annotations

import json

from jsonargparse import Namespace

from pyro_vae import training

from .build import Built
from .errors import warn
from .folder import RunFolder
from .make import foreign_classes
from .pictures import draw
from .show import report_on, show_report

FIT_OPTIONS = (
    "lr",
    "lr_guide",
    "schedule",
    "epochs",
    "batch_size",
    "patience",
    "restore_best",
    "clip_norm",
    "seed",
    "device",
    "compile",
    "precision",
)


def train(built: Built, folder: RunFolder, options: Namespace, resume: bool) -> None:
    """Train, and leave a report and pictures; Ctrl-C says how to go on."""
    try:
        fit(built, folder, options, resume)
        report = report_on(built.family, built.view(), built.config["particles"])
        summary = {**report.to_dict(), "run": str(folder.path)}
        folder.write_report(summary)
        pictures = draw(folder, built) if options.pictures else []
    except KeyboardInterrupt:
        if not folder.checkpoint.exists():
            raise
        allow = "".join(f" --allow {path}" for path in foreign_classes(built.config))
        raise KeyboardInterrupt(f"go on with: pyro-vae resume {folder.path}{allow}") from None
    if options.json:
        print(json.dumps(summary))
    else:
        show_report(report, folder, built.dataset.name, pictures)


def fit(built: Built, folder: RunFolder, options: Namespace, resume: bool) -> None:
    """The optimisation alone, with its checkpoints and history."""
    loggers: list[training.Logger] = [training.FileLogger(folder.history, resume=resume)]
    if options.tensorboard:
        loggers.append(training.TensorBoardLogger(folder.tensorboard))
    history = training.fit(
        built.vae.model,
        built.vae.guide,
        built.raw("train"),
        validation=built.raw("valid"),
        transform=built.dataset.transform,
        objective=built.objective,
        strategy=built.strategy,
        **{name: built.config[name] for name in FIT_OPTIONS},
        checkpoint=folder.checkpoint,
        resume=folder.checkpoint if resume else None,
        loggers=loggers,
        progress=False if options.json else None,
    )
    # The rows as the checkpoint has them: a killed process may have left some unwritten.
    history.to_csv(folder.history)
    _say_where_it_stopped(built, history)


def _say_where_it_stopped(built: Built, history: training.History) -> None:
    """A remark where the weights are early ones, by a measure that was not what was maximised."""
    best, epochs = history.best_epoch, len(history)
    kind = type(built.objective).__name__
    if not built.config["restore_best"] or best is None or kind == "ELBO" or 2 * best > epochs:
        return
    warn(
        f"the weights are those of epoch {best} of {epochs}, the best by the plain ELBO, which is "
        f"not what {kind} maximises: --restore_best false ends with the last"
    )
