"""Sets that are fetched: from a server on this machine, from files put by hand, from the cache."""

from __future__ import annotations

import errno
import functools
import gzip
import hashlib
import http.server
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from pyro_vae import data
from pyro_vae.data import registry
from pyro_vae.data.cache import cache_folder, write_npz
from pyro_vae.data.images import MNIST, read_idx
from pyro_vae.data.static import MNIST_STATIC, read_amat

RNG = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    shape = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes(), mtime=0)


ARRAYS = {
    "x_train": RNG.integers(0, 256, (14, 28, 28), dtype=np.uint8),
    "y_train": RNG.integers(0, 10, 14, dtype=np.uint8),
    "x_test": RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8),
    "y_test": RNG.integers(0, 10, 5, dtype=np.uint8),
}
FILES = dict(zip(MNIST.sha256, map(idx, ARRAYS.values()), strict=True))
PIXELS = {split: RNG.integers(0, 2, (n, 784)) for split, n in (("train", 6), ("valid", 3))}
PIXELS["test"] = RNG.integers(0, 2, (4, 784))
AMAT = {
    f"binarized_mnist_{split}.amat": "".join(" ".join(map(str, r)) + " \n" for r in x).encode()
    for split, x in PIXELS.items()
}


def sha256(files):
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder and its address; `mnist` and `mnist_static` are small sets published there."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in (FILES | AMAT).items():
        (folder / name).write_bytes(content)
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    publish(monkeypatch, (address,))
    yield folder, address
    server.shutdown()
    thread.join()
    server.server_close()


def publish(monkeypatch, mirrors):
    shapes = {key: array.shape for key, array in ARRAYS.items()}
    images = replace(MNIST, mirrors=mirrors, sha256=sha256(FILES), arrays=shapes, sizes=(10, 4, 5))
    packed = {split: (len(x), 98) for split, x in PIXELS.items()}
    static = replace(MNIST_STATIC, mirrors=mirrors, sha256=sha256(AMAT), arrays=packed)
    monkeypatch.setitem(registry._CACHED, "mnist", images)
    monkeypatch.setitem(registry._CACHED, "mnist_static", static)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def check_images(loaded):
    x = torch.from_numpy(ARRAYS["x_train"]).reshape(-1, 784) / 255
    assert torch.equal(loaded.train, x[:10]) and torch.equal(loaded.valid, x[10:])
    assert torch.equal(loaded.test, torch.from_numpy(ARRAYS["x_test"]).reshape(-1, 784) / 255)
    y = ARRAYS["y_train"].tolist()
    assert loaded.labels["train"].tolist() == y[:10]
    assert loaded.labels["valid"].tolist() == y[10:]
    assert loaded.labels["test"].tolist() == ARRAYS["y_test"].tolist()


def test_images_are_fetched_once_and_then_need_no_network(served, cache):
    folder, _ = served
    check_images(data.load("mnist"))
    assert contents(cache) == ["mnist/mnist.npz"]
    for file in folder.iterdir():
        file.unlink()
    check_images(data.load("mnist", download=False))
    assert data.fetch("mnist") == cache / "mnist" / "mnist.npz"
    assert data.load("mnist", flatten=False).event_shape == (1, 28, 28)


def test_static_set_is_bit_packed_and_binary(served, cache):
    loaded = data.load("mnist_static")
    assert loaded.values == "binary" and loaded.labels is None and loaded.transform is None
    for split, pixels in PIXELS.items():
        assert torch.equal(getattr(loaded, split), torch.tensor(pixels, dtype=torch.float32))
    assert contents(cache) == ["mnist_static/binarized_mnist.npz"]


@pytest.mark.parametrize("files", [FILES, AMAT], ids=["idx", "amat"])
def test_files_put_by_hand_are_used_and_kept(files, cache, monkeypatch):
    publish(monkeypatch, ())
    name = "mnist" if files is FILES else "mnist_static"
    (cache / name).mkdir(parents=True)
    for file, content in files.items():
        (cache / name / file).write_bytes(content)
    data.load(name, download=False)
    assert set(contents(cache)) > {f"{name}/{file}" for file in files}


def test_second_mirror_takes_over(served, cache, monkeypatch):
    _, address = served
    publish(monkeypatch, (f"{address}nowhere/", address))
    check_images(data.load("mnist"))


def test_a_first_failure_is_tried_again(served, cache, monkeypatch):
    import pooch

    real, calls = pooch.HTTPDownloader.__call__, []

    def flaky(self, url, output_file, store):
        calls.append(url)
        real(self, url if len(calls) > 2 else f"{url}.absent", output_file, store)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", flaky)
    check_images(data.load("mnist"))
    assert len(calls) == len(FILES) + 2


def test_wrong_bytes_from_the_network_are_never_kept(served, cache):
    folder, address = served
    name = "t10k-images-idx3-ubyte.gz"
    (folder / name).write_bytes(idx(ARRAYS["x_test"][::-1]))
    with pytest.raises(FileNotFoundError, match=f"{address}{name}: wrong checksum") as caught:
        data.fetch("mnist", progress=False)
    assert "\n" not in str(caught.value)
    assert contents(cache) == []


def test_absent_and_offline(cache, monkeypatch):
    publish(monkeypatch, ("http://127.0.0.1:9/",))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    for network, why in (
        (True, "cannot be downloaded .*9/train-im.*: ConnectionError"),
        (False, "is absent;"),
    ):
        with pytest.raises(FileNotFoundError, match=why) as caught:
            data.load("mnist", download=network)
        message = str(caught.value)
        assert "\n" not in message and "`pyro-vae data fetch mnist`" in message
        assert str(cache / "mnist" / "mnist.npz") in message
        assert all(name in message for name in FILES)
        assert message.endswith(f"into {cache / 'mnist'}")
    assert not (cache / "mnist").exists()


def test_http_error_is_named(served, cache):
    folder, _ = served
    (folder / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.gz: HTTP 404\)"):
        data.fetch("mnist", progress=False)


def test_hand_placed_file_of_another_content(cache, monkeypatch):
    publish(monkeypatch, ())
    (cache / "mnist").mkdir(parents=True)
    for file in FILES:
        (cache / "mnist" / file).write_bytes(b"other")
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is not the published file"):
        data.load("mnist", download=False)


def damaged(kind, path):
    good = {key: array.copy() for key, array in ARRAYS.items()}
    if kind == "absent array":
        del good["y_test"]
    elif kind == "shape":
        good["x_train"] = good["x_train"][:-1]
    elif kind == "dtype":
        good["x_test"] = good["x_test"].astype(np.float32)
    np.savez(path, **good)
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        path.write_bytes(content[:999] + bytes([content[999] ^ 1]) + content[1000:])
    elif kind == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "message"),
    {
        "truncated": "cannot be read",
        "flipped": "cannot be read .*CRC",
        "empty": "cannot be read",
        "absent array": "has no array 'y_test'",
        "shape": r"'x_train' is uint8\(13, 28, 28\), not uint8\(14, 28, 28\)",
        "dtype": "'x_test' is float32",
    }.items(),
)
def test_damaged_cache_names_file_and_cure(cache, monkeypatch, kind, message):
    publish(monkeypatch, ())
    path = cache / "mnist" / "mnist.npz"
    path.parent.mkdir(parents=True)
    damaged(kind, path)
    before = path.read_bytes()
    cure = "delete it and run `pyro-vae data fetch mnist`"
    with pytest.raises(ValueError, match=f"mnist.npz.* {message}.*{cure}") as caught:
        data.load("mnist")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, error):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.arange(3)})

    def fail(descriptor):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        write_npz(path, {"x": np.arange(4)})
    with np.load(path) as arrays:
        assert arrays["x"].tolist() == [0, 1, 2]
    assert contents(tmp_path) == ["a.npz"]


def test_full_disk_is_one_line_with_its_cure(served, cache, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    message = "cannot write .*mnist.npz .No space left on device.; set PYRO_VAE_DATA"
    with pytest.raises(OSError, match=message) as caught:
        data.fetch("mnist", progress=False)
    assert caught.value.errno == errno.ENOSPC and "\n" not in str(caught.value)
    assert contents(cache) == []


def test_cache_that_is_no_folder(served, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*set PYRO_VAE_DATA"):
        data.fetch("mnist", cache=tmp_path / "file", progress=False)


def test_cache_folder_in_order_of_precedence(tmp_path, monkeypatch):
    monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(tmp_path / "mine") == tmp_path / "mine"
    monkeypatch.delenv("PYRO_VAE_DATA")
    assert cache_folder().name == "pyro_vae"


def test_describe_says_what_is_cached(served, cache):
    assert len(data.describe().splitlines()) == 1 + len(data.names())
    assert "cached" not in data.describe()
    data.fetch("mnist", progress=False)
    (line,) = [row for row in data.describe().splitlines() if "cached" in row]
    assert line.startswith("mnist ") and "10/4/5" in line and "[none stated" in line


def test_fetch_of_built_in_sets_needs_nothing_and_unknown_names_are_helped(cache):
    assert data.fetch("digits") is None
    for call in (data.fetch, data.load):
        with pytest.raises(ValueError, match="unknown data set 'mnits'; did you mean 'mnist'"):
            call("mnits")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "not an IDX file"),
        (b"", "not an IDX file"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", r"holds 3 bytes; its header says \(5,\)"),
    ],
)
def test_read_idx_refuses(tmp_path, content, message):
    (tmp_path / "f.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "f.gz")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"0 1 2", "other characters"), (b"", "0 pixels"), (b"0 1\n", "2 pixels, not a multiple")],
)
def test_read_amat_refuses(tmp_path, content, message):
    (tmp_path / "f.amat").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_amat(tmp_path / "f.amat")
