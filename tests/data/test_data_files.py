"""A user's own files: what is read, what is inferred, and every refusal with its message."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from pyro_vae.data import load, load_file

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(30, 3))


def npy(path, array):
    np.save(path / "mine.npy", array)
    return path / "mine.npy"


def npz(path, **arrays):
    np.savez(path / "mine.npz", **arrays)
    return path / "mine.npz"


def text(path, content, encoding="utf-8"):
    (path / "mine.csv").write_bytes(content.encode(encoding))
    return path / "mine.csv"


def rows(n=12, line="1.5,2,-3\n"):
    return line * n


def test_random_split_loses_nothing_and_repeats(tmp_path):
    x = np.concatenate([REAL, REAL[:9]]) + np.arange(39)[:, None] * 100
    path = npz(tmp_path, x=x, y=np.arange(39))
    data, again, other = load(path), load(path), load(path, seed=1)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [33, 3, 3]
    joined = torch.cat([data.train, data.valid, data.test])
    order = torch.cat([data.labels[s] for s in ("train", "valid", "test")])
    torch.testing.assert_close(joined, torch.tensor(x, dtype=torch.float32)[order])
    assert sorted(order.tolist()) == list(range(39))
    assert torch.equal(data.train, again.train) and not torch.equal(data.train, other.train)
    assert (data.name, data.values, data.train.dtype) == ("mine", "real", torch.float32)


VALUES = {
    "bool": (REAL > 0, "binary"),
    "0/1 floats": ((REAL > 0).astype(float), "binary"),
    "0/1 bytes": ((REAL > 0).astype(np.uint8), "binary"),
    "bytes": (np.arange(90, dtype=np.uint8).reshape(30, 3), "grey"),
    "unit interval": (RNG.random((30, 3)), "grey"),
    "integers": (np.arange(90).reshape(30, 3), "counts"),
    "whole floats": (np.arange(90.0).reshape(30, 3), "counts"),
    "negative integers": (np.arange(90).reshape(30, 3) - 1, "real"),
    "real": (REAL, "real"),
}


@pytest.mark.parametrize(("x", "values"), VALUES.values(), ids=VALUES)
def test_values_are_inferred(tmp_path, x, values):
    data = load(npy(tmp_path, x))
    assert data.values == values
    largest = max(float(s.max()) for s in (data.train, data.valid, data.test))
    scaled = x.dtype == np.uint8 and x.max() > 1
    assert largest == pytest.approx(float(x.max()) / (255 if scaled else 1), rel=1e-6)
    assert ("uint8 divided by 255" in data.source) == scaled


def test_splits_and_labels_that_are_given_are_kept(tmp_path):
    y = {"y_train": np.arange(30), "y_test": np.arange(5)}
    path = npz(tmp_path, x_train=REAL, x_test=REAL[:5], **y)
    data = load(path)
    assert torch.equal(data.test, torch.tensor(REAL[:5], dtype=torch.float32))
    assert data.labels["test"].tolist() == [0, 1, 2, 3, 4]
    assert [len(s) for s in (data.train, data.valid)] == [27, 3]
    drawn = torch.cat([data.labels["train"], data.labels["valid"]])
    assert sorted(drawn.tolist()) == list(range(30))
    path = npz(tmp_path, train=REAL, valid=REAL[:4], test=REAL[:5])
    assert torch.equal(load(path).train, torch.tensor(REAL, dtype=torch.float32))


def test_shape_is_kept_unless_flattened(tmp_path):
    path = npy(tmp_path, RNG.random((20, 2, 3)))
    assert load(path).event_shape == (6,)
    assert load(path, flatten=False).event_shape == (2, 3)


def test_one_array_of_any_name_and_arrays_not_used(tmp_path):
    assert len(load(npz(tmp_path, cells=REAL)).train) == 24
    data = load(npz(tmp_path, x=REAL, genes=np.arange(3)))
    assert data.source.endswith("; not used: genes")


CSV = {
    "plain": rows(),
    "header": "a,b,c\n" + rows(),
    "byte-order mark": "\ufeff" + rows(),
    "windows lines": rows(line="1.5,2,-3\r\n"),
    "blank lines": "\na,b,c\n\n" + rows() + "\n\n",
    "quotes and spaces": rows(line='"1.5", 2,-3\n'),
    "no last newline": rows().rstrip(),
}


@pytest.mark.parametrize("content", CSV.values(), ids=CSV)
def test_csv(tmp_path, content):
    data = load(text(tmp_path, content))
    assert sum(len(s) for s in (data.train, data.valid, data.test)) == 12
    assert torch.equal(data.train, torch.tensor([1.5, 2.0, -3.0]).expand(10, 3))


def holed(value, at=(7, 2)):
    x = REAL.copy()
    x[at] = value
    return x


Y = np.arange(30)
BAD = {
    # name: (how to write the file, error, what the message says)
    "missing": (lambda p: p / "no.npy", FileNotFoundError, "there is no data file"),
    "folder": (lambda p: (p / "d.npy").mkdir() or p / "d.npy", FileNotFoundError, "no data file"),
    "nan": (
        lambda p: npy(p, holed(np.nan)),
        ValueError,
        r"train, row 7, column 2 \(from 0\) is nan; finite .* \(1 of 90 are not\)",
    ),
    "infinite": (lambda p: npy(p, holed(-np.inf)), ValueError, "row 7, column 2 .* is -inf"),
    "beyond float32": (lambda p: npy(p, holed(1e300)), ValueError, "1e\\+300; .* float32"),
    "nan in an image": (
        lambda p: npy(p, holed(np.nan).reshape(30, 3, 1)),
        ValueError,
        r"row 7, column \(2, 0\)",
    ),
    "one dimension": (lambda p: npy(p, Y), ValueError, r"shape \(30,\); .* reshape\(-1, 1\)"),
    "scalar": (lambda p: npy(p, np.float64(3)), ValueError, r"has shape \(\);"),
    "no examples": (lambda p: npy(p, REAL[:0]), ValueError, r"is empty: its shape is \(0, 3\)"),
    "no features": (lambda p: npy(p, REAL[:, :0]), ValueError, r"empty: its shape is \(30, 0\)"),
    "too few": (lambda p: npy(p, REAL[:9]), ValueError, "9 examples to train on; at least 10"),
    "strings": (lambda p: npy(p, np.full((30, 3), "a")), TypeError, "<U1; real numbers"),
    "complex": (lambda p: npy(p, REAL + 1j), TypeError, "complex128; real numbers"),
    "dates": (lambda p: npy(p, REAL.astype("M8[s]")), TypeError, "real numbers are needed"),
    "objects": (
        lambda p: npy(p, np.array([[None]] * 30)),
        ValueError,
        "cannot be read .* save it again with numpy.save",
    ),
    "not numpy": (
        lambda p: text(p, "hello").rename(p / "mine.npy"),
        ValueError,
        "mine.npy cannot be read",
    ),
    "truncated npy": (lambda p: cut(npy(p, REAL)), ValueError, "mine.npy cannot be read"),
    "truncated npz": (lambda p: cut(npz(p, x=REAL)), ValueError, "mine.npz cannot be read"),
    "empty file": (lambda p: cut(npy(p, REAL), 0), ValueError, "mine.npy cannot be read"),
    "empty npz": (lambda p: npz(p), ValueError, "has arrays none; name them"),
    "two names": (lambda p: npz(p, a=REAL, b=REAL), ValueError, "has arrays a, b; name them"),
    "misspelt split": (
        lambda p: npz(p, train=REAL, vaild=REAL),
        ValueError,
        "array 'vaild' beside 'train' is none of",
    ),
    "events differ": (
        lambda p: npz(p, train=REAL, test=REAL[:, :2]),
        ValueError,
        r"test has events of shape \(2,\)",
    ),
    "nan in test": (
        lambda p: npz(p, train=REAL, test=holed(np.nan)),
        ValueError,
        "mine.npz, test, row 7",
    ),
    "empty test": (lambda p: npz(p, train=REAL, test=REAL[:0]), ValueError, "test is empty"),
    "labels too few": (lambda p: npz(p, x=REAL, y=Y[:9]), ValueError, r"labels of train: int64\(9"),
    "float labels": (lambda p: npz(p, x=REAL, y=REAL[:, 0]), ValueError, "float64.* whole number"),
    "labels of one split": (
        lambda p: npz(p, train=REAL, test=REAL, y_train=Y),
        ValueError,
        "labels y_train for the examples train, test",
    ),
    "csv: empty": (lambda p: text(p, ""), ValueError, "has no rows of numbers"),
    "csv: header only": (lambda p: text(p, "a,b\n"), ValueError, "has no rows of numbers"),
    "csv: word": (
        lambda p: text(p, "a,b,c\n\n" + rows(3) + "1,x,2\n"),
        ValueError,
        "line 6, column 2: 'x' is not a number",
    ),
    "csv: hole": (
        lambda p: text(p, rows(3) + "1,,2\n"),
        ValueError,
        "line 4, column 2: '' is not a number",
    ),
    "csv: nan": (
        lambda p: text(p, "a,b,c\n" + rows(3) + "1,2,nan\n"),
        ValueError,
        "line 5, column 3: 'nan' is not finite; fill it in",
    ),
    "csv: ragged": (
        lambda p: text(p, rows(3) + "1,2\n"),
        ValueError,
        "line 4: 2 columns, but 3 in the first row",
    ),
    "csv: half a header": (
        lambda p: text(p, "label,1,2\n" + rows()),
        ValueError,
        "line 1, column 1: 'label' is not a number",
    ),
    "csv: semicolons": (
        lambda p: text(p, "a;b\n" + rows(line="1;2\n")),
        ValueError,
        "line 2, column 1: '1;2' is not a number; numbers separated by commas",
    ),
    "csv: comment": (lambda p: text(p, rows() + "# 1\n"), ValueError, "line 13: 1 columns"),
    "csv: utf-16": (lambda p: text(p, rows(), "utf-16"), ValueError, "is not text in UTF-8"),
    "csv: too few": (lambda p: text(p, rows(5)), ValueError, "5 examples to train on"),
    "other ending": (lambda p: p / "mine.pkl", ValueError, "unknown data set .*files ending in"),
}


def cut(path, size=150):
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.mark.parametrize(("make", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_files(tmp_path, make, kind, message):
    path = make(tmp_path)
    with pytest.raises(kind) as caught:
        load(path)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    if kind is not FileNotFoundError and "events differ" not in message:
        assert "mine" in str(caught.value)


def test_every_flipped_byte_is_an_error_or_harmless(tmp_path):
    """No damage may end in a traceback of zipfile, or change a number unseen."""
    path = npz(tmp_path, train=REAL)
    whole, good = path.read_bytes(), load_file(path)
    for i in range(0, len(whole), 3):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            data = load_file(path)
        except ValueError as error:
            assert "mine.npz" in str(error)
        else:
            assert torch.equal(data.train, good.train)
