"""MNIST and the two sets made in its likeness: 28x28 grey images in the IDX format."""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.cached_set import Arrays, CachedSet
from pyro_vae.data.dataset import Dataset

_FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


def read_idx(path: Path) -> np.ndarray:
    """The bytes of a gzipped IDX file, in the shape that its header gives.

    The header is two zero bytes, 8 (unsigned bytes), the number of dimensions, then each
    dimension as a big-endian 32-bit number.

    Raises:
        ValueError: the header is another, or the length does not agree with it.
    """
    content = gzip.decompress(path.read_bytes())
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) != start + math.prod(shape):
        raise ValueError(f"{path} holds {len(content) - start} bytes; its header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _pack(published: Mapping[str, Path]) -> Arrays:
    return {key: read_idx(published[file]) for key, file in _FILES.items()}


def _grey(x: np.ndarray) -> Tensor:
    # One channel, as convolutions expect; in place, for the float copy is the large one.
    return torch.from_numpy(x).unsqueeze(1).to(torch.float32).div_(255)


def _unpack(this: CachedSet, arrays: Arrays) -> Dataset:
    n = this.sizes[0]
    y_train = torch.from_numpy(arrays["y_train"].astype(np.int64))
    y_test = torch.from_numpy(arrays["y_test"].astype(np.int64))
    return Dataset(
        name=this.name,
        train=_grey(arrays["x_train"][:n]),
        valid=_grey(arrays["x_train"][n:]),
        test=_grey(arrays["x_test"]),
        labels={"train": y_train[:n], "valid": y_train[n:], "test": y_test},
        values="grey",
        source=f"{this.about}. Licence: {this.licence}",
    )


def _images(
    name: str, about: str, licence: str, mirrors: tuple[str, ...], sha256: tuple[str, ...]
) -> CachedSet:
    """A set of 60,000 and 10,000 images; the last 10,000 of the former are for validation."""
    return CachedSet(
        name=name,
        file=f"{name}.npz",
        about=about,
        licence=licence,
        values="grey",
        event=(1, 28, 28),
        sizes=(50_000, 10_000, 10_000),
        mirrors=mirrors,
        sha256=dict(zip(_FILES.values(), sha256, strict=True)),
        arrays={
            "x_train": (60_000, 28, 28),
            "y_train": (60_000,),
            "x_test": (10_000, 28, 28),
            "y_test": (10_000,),
        },
        pack=_pack,
        unpack=_unpack,
    )


MNIST = _images(
    "mnist",
    "MNIST, handwritten digits (LeCun, Cortes and Burges, 1998)",
    "none stated by the authors",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)

FASHION_MNIST = _images(
    "fashion_mnist",
    "Fashion-MNIST, pieces of clothing (Xiao, Rasul and Vollgraf, 2017)",
    "MIT",
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)

KMNIST = _images(
    "kmnist",
    "Kuzushiji-MNIST, cursive Japanese characters (Clanuwat et al., 2018)",
    "CC BY-SA 4.0",
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    (
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
)
