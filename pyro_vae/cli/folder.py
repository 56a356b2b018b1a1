"""The run folder: what a run leaves, and how it is opened again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pyro_vae import training
from pyro_vae.training.files import atomic_write
from pyro_vae.training.settings import pick_device

from .build import Built, build
from .errors import UsageError, warn
from .replaced import set_aside
from .run_config import read_config


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

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @contextmanager
    def begun(self, config: Mapping[str, Any], overwrite: bool) -> Iterator[None]:
        """A folder for a new run, which is made inside.

        Where the run comes to nothing, before its first checkpoint, everything is put back: a
        run that was to be overwritten is as it was.
        """
        if self.holds_run() and not overwrite:
            raise UsageError(
                f"{self.path} holds a run already: continue it with `pyro-vae resume "
                f"{self.path}`, or give --overwrite or another --out"
            )
        files = [self.checkpoint, self.config_file, self.history, self.report]
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{self.path} cannot be a run folder: a file is in the way") from error
        try:
            with set_aside([*files, self.pictures, self.tensorboard], keep_new=self.checkpoint):
                self.write_config(config)
                yield
        finally:
            for path in made:
                if any(path.iterdir()):
                    break
                path.rmdir()

    @contextmanager
    def continued(self, config: Mapping[str, Any]) -> Iterator[None]:
        """Keep a changed configuration, unless the run cannot go on with it."""
        before = self.config_file.read_text(encoding="utf-8")
        self.write_config(config)
        try:
            yield
        except Exception:
            self.write_text(self.config_file, before)
            raise

    def holds_run(self) -> bool:
        """Whether there is a run, begun or finished."""
        return self.checkpoint.exists() or self.config_file.exists()

    def config(self, allow: tuple[str, ...] = ()) -> dict[str, Any]:
        """The configuration, after making sure that it names only classes one may import."""
        if not self.path.is_dir():
            raise UsageError(f"there is no run folder {self.path}")
        if not self.config_file.is_file():
            raise UsageError(f"{self.path} is not a run folder: it has no config.yaml")
        return read_config(self.config_file, allow)

    def open(self, allow: tuple[str, ...] = (), device: str = "auto") -> Built:
        """The data and the programs, with the weights that the run ended with.

        Raises :class:`UsageError` or :class:`pyro_vae.training.CheckpointError`.
        """
        built = build(self.config(allow))
        if not self.checkpoint.exists():
            raise UsageError(
                f"{self.path} has no checkpoint yet: begin again with `pyro-vae resume {self.path}`"
            )
        best: bool = built.config["restore_best"]
        training.load_weights(self.checkpoint, built.vae.model, built.vae.guide, best=best)
        built.vae.to(pick_device(device, built.vae.model, built.vae.guide))
        return built

    def epochs_done(self) -> int:
        """Complete epochs in the checkpoint, 0 without one."""
        if not self.checkpoint.exists():
            return 0
        epochs: int = training.load(self.checkpoint).get("epoch", 0)
        return epochs

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Keep the configuration as YAML."""
        self.write_text(self.config_file, yaml.safe_dump(dict(config), sort_keys=False))

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
    while RunFolder(path).holds_run():
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    if number > 1:
        warn(f"{first} holds a run already; this one goes to {path}")
    return path
