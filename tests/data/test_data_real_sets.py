"""The published sets themselves, where the folder of real data is there."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from pyro_vae.data import load
from pyro_vae.data.static import MNIST_STATIC

IDX_MD5 = {
    "mnist": ("6bbc9ace898e44ae57da46a324031adb", "2646ac647ad5339dbf082846283269ea"),
    "fashion_mnist": ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "8181f5470baa50b63fa0f6fddb340f0a"),
}


def read(folder, name):
    # download=False: a folder of shared data is read and never written.
    try:
        return load(name, cache=folder, download=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))


def idx_md5(*parts: torch.Tensor) -> str:
    shape = (sum(map(len, parts)), 28, 28)
    header = bytes([0, 0, 8, 3]) + b"".join(s.to_bytes(4, "big") for s in shape)
    digest = hashlib.md5(header)
    for images in parts:
        digest.update(images.mul(255).round_().to(torch.uint8).numpy())
    return digest.hexdigest()


@pytest.mark.parametrize("name", IDX_MD5)
def test_images_are_the_published_ones_in_the_published_order(data_folder, name):
    data = read(data_folder, name)
    assert [len(x) for x in (data.train, data.valid, data.test)] == [50_000, 10_000, 10_000]
    assert data.values == "grey" and float(data.test.max()) == 1
    assert (idx_md5(data.train, data.valid), idx_md5(data.test)) == IDX_MD5[name]
    assert data.labels is not None
    counts = torch.cat([data.labels["train"], data.labels["valid"]]).bincount()
    assert len(counts) == 10 and int(counts.sum()) == 60_000


def test_static_mnist_has_the_published_checksums_and_its_pixel_entropy(data_folder):
    data = read(data_folder, "mnist_static")
    assert data.values == "binary" and data.transform is None
    for split in ("valid", "test"):
        pixels = getattr(data, split).numpy().astype(np.uint8)
        lines = np.full((len(pixels), 2 * 784), ord(" "), dtype=np.uint8)
        lines[:, ::2] = pixels + ord("0")
        lines[:, -1] = ord("\n")
        digest = hashlib.sha256(lines.tobytes()).hexdigest()
        assert digest == MNIST_STATIC.sha256[f"binarized_mnist_{split}.amat"]
    # Independent pixels: 205.79 nats on test, with one pseudo-count of each value.
    p = (data.train.sum(0, dtype=torch.float64) + 1) / (len(data.train) + 2)
    on = data.test.mean(0, dtype=torch.float64)
    nll = -(on * p.log() + (1 - on) * (1 - p).log()).sum()
    assert float(nll) == pytest.approx(205.79, abs=0.05)
