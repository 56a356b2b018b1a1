"""Options in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import UsageError


def read_yaml(path: Path, shown: str = "") -> Mapping[str, Any]:
    """The options that a file holds; :class:`UsageError` where it holds anything else."""
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{shown}there is no file {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{shown}{path} is a folder; name a file in it") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown}{path} is not text: a YAML file is needed") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{shown}{path}{where} is not YAML: {what}") from error
    if not isinstance(options, Mapping):
        raise UsageError(
            f"{shown}{path} holds no options: a line for each, `name: value`, is needed"
        )
    return options
