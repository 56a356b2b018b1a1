"""What a posterior that holds another one asks of the network."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from .base import Posterior


def base_outputs(latent: int, base: Any) -> tuple[int, ...]:
    """``outputs`` of the ``base`` among a posterior's options: an object, or a configuration of it.

    Raises ``ValueError`` where it is neither.

    >>> base_outputs(3, {"class_path": "pyro_vae.posteriors.DiagonalNormal"})
    (6,)
    """
    if isinstance(base, Posterior):
        names = inspect.signature(type(base)).parameters
        options = {name: getattr(base, name) for name in names if hasattr(base, name)}
        return base.outputs(latent, **options)
    if isinstance(base, Mapping) and isinstance(base.get("class_path"), str):
        module, _, name = base["class_path"].rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        outputs: tuple[int, ...] = kind.outputs(latent, **(base.get("init_args") or {}))
        return outputs
    raise ValueError(f"base is a posterior with a network of its own, not {base!r}")
