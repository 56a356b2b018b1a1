"""Which likelihoods are densities of which data."""

from __future__ import annotations

import math
from bisect import bisect_right as bisect
from typing import Any

import torch
from torch import Tensor

from pyro_vae import data
from pyro_vae.data.dataset import SPLITS
from pyro_vae.likelihoods import takers

from .errors import UsageError
from .parts import known_parts

#: Likelihood for each kind of values, where none is asked for.
DEFAULT_LIKELIHOOD = {"binary": "Bernoulli", "grey": "Bernoulli", "real": "Normal"}

#: The kinds of data that lie within the support of a likelihood of each kind.
SUPPORTED = {
    "binary": {"binary"},
    "grey": {"grey", "binary"},
    "counts": {"counts", "binary"},
    "real": {"binary", "grey", "counts", "real"},
}


def default_likelihood(dataset: data.Dataset, family: str | None = None) -> dict[str, str]:
    """The likelihood where none is named, as a configuration holds it: the family's, or of such
    values."""
    name = family or DEFAULT_LIKELIHOOD.get(dataset.values)
    if name is None:
        choice = " or ".join(f"--likelihood {name}" for name in _fitting(dataset.values))
        raise UsageError(f"{dataset.name} holds {dataset.values}: say how they arise, by {choice}")
    return {"class_path": f"pyro_vae.likelihoods.{name}"}


def fitting(dataset: data.Dataset, likelihood: Any) -> data.Dataset:
    """The data as the likelihood takes them; :class:`UsageError` where it does not."""
    wanted: str = likelihood.values
    if wanted == "binary" and dataset.values == "grey":
        if any(bool(getattr(dataset, split).isnan().any()) for split in SPLITS):
            raise UsageError(
                f"{dataset.name} has grey values, which cannot become coins for "
                f"{likelihood.__name__} where they are missing: use ContinuousBernoulli, or Normal"
            )
        # The density of a coin at 0.3 means nothing: grey values become coins themselves.
        return dataset.binarized(seed=0)
    if dataset.values not in SUPPORTED.get(wanted, {dataset.values}):
        raise UsageError(
            f"{dataset.name} has {dataset.values} values, outside the support of "
            f"{likelihood.__name__}: use {_choice(dataset)}{_example(dataset, likelihood)}"
        )
    return dataset


def _choice(dataset: data.Dataset) -> str:
    """The likelihoods that take every number of the data."""
    x = torch.cat([getattr(dataset, split).flatten() for split in SPLITS])
    *most, last = takers(x)
    return f"{', '.join(most)} or {last}" if most else last


def _example(dataset: data.Dataset, likelihood: Any) -> str:
    """The first number that the likelihood does not take, and where it stands."""
    for split in SPLITS:
        x: Tensor = getattr(dataset, split)
        numbers = x.flatten()
        # The least count of numbers of which not all are taken.
        count = bisect(range(len(numbers)), False, key=lambda n: not likelihood.takes(numbers[:n]))
        if not likelihood.takes(numbers[:count]):
            place = [int(i) for i in torch.unravel_index(torch.tensor(count - 1), x.shape)]
            number = f"{numbers[count - 1].item():.3g}"
            return f" ({split}, observed at site 'x', holds {number} at {place})"
    return ""


def image_shape(dataset: data.Dataset) -> tuple[int, ...] | None:
    """How an example is shown as an image, ``None`` where it is none.

    Vectors are images where they can be squares of at least 8x8 pixels.

    >>> image_shape(data.load("digits", flatten=False)), image_shape(data.load("linear_gaussian"))
    ((1, 8, 8), None)
    """
    event = tuple(dataset.event_shape)
    if len(event) == 2 or (len(event) == 3 and event[0] in (1, 3)):
        return event
    side = math.isqrt(event[0]) if len(event) == 1 else 0
    square = side >= 8 and side * side == event[0] and dataset.values in ("binary", "grey")
    return (side, side) if square else None


def _fitting(values: str) -> list[str]:
    parts = known_parts("likelihood").items()
    return [name for name, kind in parts if values in SUPPORTED.get(kind.values, set())]  # type: ignore[attr-defined]
