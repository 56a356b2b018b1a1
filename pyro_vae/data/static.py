"""MNIST binarised once and for all: the set on which most published bounds were measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.cached_set import Arrays, CachedSet
from pyro_vae.data.dataset import SPLITS, Dataset

_PIXELS = 28 * 28


def read_amat(path: Path) -> np.ndarray:
    """Binary images from text, one of 784 digits 0 or 1 a line, as (n, 98) packed bytes.

    Raises:
        ValueError: there is another character, or the last image is not whole.
    """
    text = np.fromfile(path, dtype=np.uint8)
    is_pixel = (text == ord("0")) | (text == ord("1"))
    if not np.isin(text[~is_pixel], np.frombuffer(b" \t\r\n", dtype=np.uint8)).all():
        raise ValueError(f"{path} holds other characters than 0, 1 and white space")
    pixels = text[is_pixel] - ord("0")
    if pixels.size == 0 or pixels.size % _PIXELS:
        raise ValueError(f"{path} holds {pixels.size} pixels, not a multiple of {_PIXELS}")
    return np.packbits(pixels.reshape(-1, _PIXELS), axis=1)


def _file(split: str) -> str:
    return f"binarized_mnist_{split}.amat"


def _pack(published: Mapping[str, Path]) -> Arrays:
    return {split: read_amat(published[_file(split)]) for split in SPLITS}


def _unpack(this: CachedSet, arrays: Arrays) -> Dataset:
    def images(split: str) -> Tensor:
        pixels = np.unpackbits(arrays[split], axis=1, count=_PIXELS)
        return torch.from_numpy(pixels.reshape(-1, *this.event).astype(np.float32))

    # The published files have no labels; a cache may hold some that were recovered from MNIST.
    labels = None
    if all(f"y_{split}" in arrays for split in SPLITS):
        labels = {s: torch.from_numpy(arrays[f"y_{s}"].astype(np.int64)) for s in SPLITS}
    return Dataset(
        name=this.name,
        train=images("train"),
        valid=images("valid"),
        test=images("test"),
        labels=labels,
        values="binary",
        source=f"{this.about}. Licence: {this.licence}",
    )


MNIST_STATIC = CachedSet(
    name="mnist_static",
    file="binarized_mnist.npz",
    about="MNIST in one fixed binarisation (Salakhutdinov and Murray, 2008; files of Larochelle)",
    licence="none stated",
    values="binary",
    event=(1, 28, 28),
    sizes=(50_000, 10_000, 10_000),
    mirrors=("http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",),
    sha256={
        _file("train"): "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        _file("valid"): "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
        _file("test"): "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    },
    arrays={"train": (50_000, 98), "valid": (10_000, 98), "test": (10_000, 98)},
    pack=_pack,
    unpack=_unpack,
)
