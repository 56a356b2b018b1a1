"""One file that holds a whole run, written so that it is either complete or not there."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from .files import atomic_write

VERSION = 1
_LABEL = '{{"format":"pyro_vae","version":{},"sha256":"{}"}}'
_LABEL_AT_END = re.compile(rb'\{"format":"pyro_vae","version":(\d+),"sha256":"([0-9a-f]{64})"\}\Z')
_AFTER_DIGEST = 64 + len('"}')
_MAX_DEPTH = 100
_PLAIN = "a checkpoint holds tensors, numbers, strings, None, lists and dicts only"


class CheckpointError(ValueError):
    """The file is not a whole, undamaged checkpoint of this package."""


def save(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a nested dict of tensors, numbers, strings, lists and dicts to one file, atomically.

    The file is what ``torch.save`` writes, a zip archive, with a label in the place that zip
    keeps for a comment: ``{"format": "pyro_vae", "version": 1, "sha256": ...}``. Thus plain
    ``torch.load(path, weights_only=True)`` opens it anywhere without this package, and yet
    :func:`load` checks the SHA-256 of every byte before it unpickles the first one.

    Tensors become detached, contiguous CPU copies (shared storage is not kept shared), tuples
    become lists, any mapping a dict and NumPy scalars Python numbers; all else round-trips
    exactly. Nothing else is taken: an object whose class must be importable to be read back, such
    as Pyro's parameter store, ties the file to one version of the code.

    Args:
        path: the file; an existing one stays untouched until the new one is safely on disk.
        state: keys are strings or integers.

    Raises:
        TypeError: a value is not plain; the message names its place, as ``optimizer.state.3``.
        OSError: the folder is missing or unwritable, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/run.pt", {"step": 3, "weights": {"w": torch.ones(2)}})
        ...     load(f"{folder}/run.pt")
        {'step': 3, 'weights': {'w': tensor([1., 1.])}}
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"cannot save a {type(state).__name__}: the state is a dict; {_PLAIN}")
    archive = io.BytesIO()
    torch.save(_plain(state, ()), archive)
    label = _LABEL.format(VERSION, "0" * 64).encode()
    # A zip archive ends with the length of its comment, then the comment.
    sealed = archive.getvalue()[:-2] + struct.pack("<H", len(label)) + label[:-_AFTER_DIGEST]
    digest = hashlib.sha256(sealed).hexdigest()
    with atomic_write(path) as file:
        file.write(sealed)
        file.write(f'{digest}"}}'.encode())


def load(path: str | os.PathLike[str], map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """Read what :func:`save` wrote, with ``weights_only=True``: no code of the file is run.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is empty, truncated, damaged, or another program's.

    Example:
        >>> load("missing.pt")
        Traceback (most recent call last):
        FileNotFoundError: there is no checkpoint missing.pt
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the checkpoint file in it")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {path}") from None
    if not data:
        raise CheckpointError(f"{path} is empty; use the previous checkpoint")
    label = _LABEL_AT_END.search(data[-256:])
    if label is None:
        raise CheckpointError(
            f"{path} is not a whole pyro_vae checkpoint: truncated, damaged or another program's; "
            "use the previous checkpoint"
        )
    if hashlib.sha256(memoryview(data)[:-_AFTER_DIGEST]).hexdigest() != label[2].decode():
        raise CheckpointError(
            f"{path} is damaged: its contents do not match its SHA-256; use the previous checkpoint"
        )
    if int(label[1]) != VERSION:
        raise CheckpointError(
            f"{path} has format version {int(label[1])}, this pyro_vae reads {VERSION}; "
            "use the pyro_vae that wrote it, or a newer one"
        )
    try:
        state = torch.load(io.BytesIO(data), map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} was not written by pyro_vae: {_PLAIN}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} was not written by pyro_vae: it holds no dict")
    return state


def _plain(value: Any, place: tuple[str, ...]) -> Any:
    """A copy of the value in plain types alone, or a TypeError that names its place."""
    name = ".".join(place)
    if value is None or type(value) in (bool, float, str):
        return value
    # Longer integers (above 255 bytes) can be saved, but weights_only cannot read them back.
    if type(value) is int and value.bit_length() <= 1024:
        return value
    if isinstance(value, torch.Tensor):
        dense = value.layout is torch.strided and not (value.is_meta or value.is_quantized)
        if is_lazy(value) or type(value.data) is not torch.Tensor or not dense:
            raise TypeError(
                f"cannot save {name}: only dense tensors that hold values can be saved, "
                f"this is a {type(value).__name__} ({value.layout}, {value.dtype}, {value.device})"
            )
        # clone: torch.save would write the whole storage behind a view.
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(value, np.generic) and type(value.item()) in (bool, int, float):
        return value.item()
    if isinstance(value, Mapping | list | tuple) and len(place) > _MAX_DEPTH:
        raise TypeError(f"cannot save {place[0]}: it is nested too deep, or contains itself")
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in (str, int):
                where = f"in {name}" if place else "at the top"
                raise TypeError(f"cannot save the key {key!r} {where}: use a string or an integer")
        return {key: _plain(item, (*place, str(key))) for key, item in value.items()}
    # A named tuple would come back without its names, so only the plain ones are taken.
    if type(value) in (list, tuple, torch.Size):
        return [_plain(item, (*place, str(index))) for index, item in enumerate(value)]
    raise TypeError(f"cannot save {name}: its type is {type(value).__name__}; {_PLAIN}")
