"""The configuration of a run folder: read without trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .diagnosis import Diagnosis
from .errors import UsageError
from .make import foreign_classes
from .options import as_config, training_parser
from .parts import SLOTS
from .yaml_file import read_yaml


def read_config(file: Path, allow: tuple[str, ...] = ()) -> dict[str, Any]:
    """The options of a run, defaults filled in.

    Nothing outside ``pyro_vae`` is imported unless ``allow`` names it. Raises
    :class:`UsageError` where the file is not such a configuration, or names another class.
    """
    config = read_yaml(file)
    missing = [name for name in ("data", "latent", "seed", "prior") if name not in config]
    if missing:
        raise UsageError(f"{file} is not the configuration of a run: it has no {missing[0]!r}")
    for name in SLOTS:
        # A bare string would be an import path, too.
        spec = config.get(name)
        named = isinstance(spec, Mapping) and isinstance(spec.get("class_path"), str)
        if not (named or spec is None):
            raise UsageError(f"{name} in {file} names no part: `class_path:` is missing")
    for path in foreign_classes(config):
        if path not in allow:
            raise UsageError(
                f"the run uses {path}, and nothing outside pyro_vae is imported unless you "
                f"name it: add --allow {path}"
            )
    parser = training_parser()
    Diagnosis(parser).of_mapping(config, file)
    return {**as_config(parser.get_defaults()), **config}
