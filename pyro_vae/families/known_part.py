"""Which entries of x are given, by a word or by their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_vae.data import Dataset


def known_part(
    dataset: Dataset, image: tuple[int, ...] | None, given: str | Sequence[int]
) -> Tensor:
    """A boolean mask of the event's shape, ``True`` where an entry is given.

    Raises ``ValueError`` for parts of images where there are none, and columns that there are not.
    """
    event = tuple(dataset.event_shape)
    if not isinstance(given, str):
        return _columns(event, given)
    if image is None:
        raise ValueError(
            f"--program.given {given} is a part of an image, and {dataset.name} has none: give "
            "columns by their numbers, --program.given [0,1]"
        )
    known = torch.zeros(image, dtype=torch.bool)
    top, left = image[-2] // 2, image[-1] // 2
    known[..., top:, :left] = True
    if given != "quadrant":
        known[..., :left] = True
    if given == "three-quarters":
        known[..., :top, :] = True
    return known.reshape(event)


def _columns(event: tuple[int, ...], given: Sequence[int]) -> Tensor:
    known = torch.zeros(torch.Size(event).numel(), dtype=torch.bool)
    for column in given:
        if not 0 <= column < len(known):
            raise ValueError(
                f"--program.given: there is no column {column}; they are 0 to {len(known) - 1}"
            )
        known[column] = True
    if bool(known.all()) or not bool(known.any()):
        raise ValueError("--program.given leaves nothing to model, or gives nothing: name some")
    return known.reshape(event)
