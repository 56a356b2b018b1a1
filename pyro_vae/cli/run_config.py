"""The configuration of a run folder: read without trusting it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .diagnosis import Diagnosis
from .errors import UsageError
from .hints import is_plain
from .make import foreign_classes
from .options import as_config, training_parser
from .parts import SLOTS, find_class, options_of
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
    _refuse(foreign_classes(config), allow)
    # Now that the parts themselves may be imported, one can see which options import, too.
    _refuse(_imported_by_options(config), allow)
    parser = training_parser()
    Diagnosis(parser).of_mapping(config, file)
    return {**as_config(parser.get_defaults()), **config}


def _refuse(paths: Iterator[str], allow: tuple[str, ...]) -> None:
    for path in paths:
        if path not in allow:
            raise UsageError(
                f"the run uses {path}, and nothing outside pyro_vae is imported unless you "
                f"name it: add --allow {path}"
            )


def _imported_by_options(config: Mapping[str, Any]) -> Iterator[str]:
    """Import paths outside the package, as words of options that take a class or a function."""
    for slot in SLOTS:
        spec = config.get(slot) or {}
        kind = find_class(spec["class_path"]) if spec else None
        options = {} if kind is None else options_of(kind)
        for name, value in (spec.get("init_args") or {}).items():
            if name not in options or not is_plain(options[name].hint):
                yield from (word for word in _words(value) if not word.startswith("pyro_vae."))


def _words(value: Any) -> Iterator[str]:
    """Words with a dot in them, however deep."""
    if isinstance(value, str) and "." in value:
        yield value
    elif isinstance(value, Mapping):
        yield from (word for item in value.values() for word in _words(item))
    elif isinstance(value, list):
        yield from (word for item in value for word in _words(item))
