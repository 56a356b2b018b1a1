"""The run folder: what a run leaves, and how it is opened again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pyro_vae import training
from pyro_vae.training.checkpoint import atomic_write

from .build import Built, build, foreign_classes
from .parser import UsageError, warn


@dataclass(frozen=True)
class RunFolder:
    """``checkpoint.pt``, ``config.yaml``, ``history.csv``, ``report.json``, ``pictures/``."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    def create(self, config: Mapping[str, Any], overwrite: bool) -> None:
        """Make the folder and write its configuration."""
        if self.checkpoint.exists() or self.config_file.exists():
            if not overwrite:
                raise UsageError(
                    f"{self.path} holds a run already: continue it with `pyro-vae resume "
                    f"{self.path}`, or give --overwrite or another --out"
                )
            for file in (self.checkpoint, self.config_file, self.history, self.report):
                file.unlink(missing_ok=True)
            shutil.rmtree(self.pictures, ignore_errors=True)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_text(self.config_file, yaml.safe_dump(dict(config), sort_keys=False))
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{self.path} cannot be a run folder: a file is in the way") from error

    def config(self, allow: tuple[str, ...] = ()) -> dict[str, Any]:
        """The configuration, after making sure that it names only classes one may import."""
        if not self.path.is_dir():
            raise UsageError(f"there is no run folder {self.path}")
        try:
            config = yaml.safe_load(self.config_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{self.path} is not a run folder: it has no config.yaml") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            line = str(error).splitlines()[0]
            raise UsageError(f"{self.config_file} is not readable YAML: {line}") from error
        missing = [name for name in ("data", "latent", "seed", "prior") if name not in config]
        if not isinstance(config, dict) or missing:
            raise UsageError(f"{self.config_file} is not the configuration of a run")
        for path in foreign_classes(config):
            if path not in allow:
                raise UsageError(
                    f"the run uses {path}, and nothing outside pyro_vae is imported unless you "
                    f"name it: add --allow {path}"
                )
        return config

    def open(self, allow: tuple[str, ...] = (), changes: Mapping[str, Any] | None = None) -> Built:
        """The data and the programs, with the best weights that the run has kept.

        Raises :class:`UsageError` or :class:`pyro_vae.training.CheckpointError`.
        """
        built = build({**self.config(allow), **(changes or {})})
        if not self.checkpoint.exists():
            raise UsageError(
                f"{self.path} has no checkpoint yet: start it again with "
                f"`pyro-vae train --config {self.config_file} --out {self.path} --overwrite`"
            )
        training.load_weights(self.checkpoint, built.vae.model, built.vae.guide)
        return built

    def write_text(self, file: Path, text: str) -> None:
        """Write a file whole or not at all."""
        with atomic_write(file) as stream:
            stream.write(text.encode())

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Keep the report as JSON."""
        self.write_text(self.report, json.dumps(report, indent=2) + "\n")


def default_folder(name: str) -> Path:
    """``runs/NAME``, or the first ``runs/NAME-2``, ``-3``, ... that holds no run."""
    first = Path("runs") / (Path(name).stem or "run")
    number, path = 1, first
    while (path / "config.yaml").exists():
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    if number > 1:
        warn(f"{first} holds a run already; this one goes to {path}")
    return path
