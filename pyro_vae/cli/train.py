"""``pyro-vae train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from pyro_vae import evaluation, training

from .build import Built, build
from .folder import RunFolder, default_folder
from .options import add_run_options, as_config, training_parser
from .pictures import draw
from .show import show_report


def main(words: list[str]) -> None:
    """Train a VAE and leave a run folder."""
    parser = training_parser()
    add_run_options(parser)
    options = parser.parse_args(words)
    config = as_config(options)
    built = build(config)
    folder = RunFolder(Path(options.out) if options.out else default_folder(options.data))
    folder.create(config, options.overwrite)
    train(built, config, folder, options, resume=False)


def train(
    built: Built, config: dict[str, Any], folder: RunFolder, options: Namespace, resume: bool
) -> None:
    """Train into the folder, then evaluate, draw and report."""
    loggers: list[training.Logger] = [training.FileLogger(folder.history, resume=resume)]
    if options.tensorboard:
        loggers.append(training.TensorBoardLogger(folder.path / "tensorboard"))
    try:
        training.fit(
            built.vae.model,
            built.vae.guide,
            built.dataset,
            objective=built.objective,
            **{name: config[name] for name in FIT_OPTIONS},
            checkpoint=folder.checkpoint,
            resume=folder.checkpoint if resume else None,
            loggers=loggers,
            progress=False if options.json else None,
        )
    except KeyboardInterrupt:
        if folder.checkpoint.exists():
            print(f"\nstopped; go on with: pyro-vae resume {folder.path}")
        raise
    report = evaluation.evaluate(
        built.vae.model, built.vae.guide, built.dataset.test, particles=config["particles"]
    )
    summary = {**report.to_dict(), "run": str(folder.path)}
    folder.write_report(summary)
    pictures = draw(folder, built) if options.pictures else []
    if options.json:
        print(json.dumps(summary))
    else:
        show_report(report, folder, built.dataset.name, pictures)


FIT_OPTIONS = (
    "lr",
    "lr_guide",
    "schedule",
    "epochs",
    "batch_size",
    "patience",
    "clip_norm",
    "seed",
    "device",
)
