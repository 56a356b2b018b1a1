"""A user's own arrays: .npy, .npz or .csv, checked before anything is learnt from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pyro_vae.data.cache import read_arrays
from pyro_vae.data.csv_file import read_csv
from pyro_vae.data.dataset import SPLITS, Dataset

SUFFIXES = (".npy", ".npz", ".csv")
_FEWEST = 10

_Splits = dict[str, np.ndarray]


def load_file(path: str | Path, *, seed: int = 0, missing: bool = False) -> Dataset:
    """A `Dataset` from a file of numbers, its first axis counting examples.

    A .npz holds either `train` (and, if it has them, `valid`, `test`, and labels `y_train`,
    `y_valid`, `y_test`), or `x` (and `y`), or one array of any name. `x_train` stands for `train`,
    and so on. A split that is missing is drawn from `train` at random: a tenth of it.

    The kind of values is inferred: all 0 or 1, "binary"; uint8, divided by 255, "grey"; within
    [0, 1], "grey"; non-negative whole numbers, "counts"; else "real".

    Args:
        seed: of the random split.
        missing: whether entries may be missing: nan, or an empty field of a .csv; they become nan.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the array holds something else than real numbers.
        ValueError: its shape, size or values will not do; the message says where.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "mine.npy", np.arange(60.0).reshape(20, 3))
    ...     load_file(Path(folder) / "mine.npy")
    Dataset('mine', counts, train=(16, 3), valid=(2, 3), test=(2, 3))
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no data file {path}")
    if path.suffix.lower() == ".csv":
        arrays = {"x": read_csv(path, missing)}
    else:
        arrays = read_arrays(path, "save it again with numpy.save or numpy.savez, as numbers")
    x, y, note = _choose(path, arrays)
    for key, array in x.items():
        _check(f"{path}, {key}", array, missing)
    if len(x["train"]) < _FEWEST:
        n = len(x["train"])
        raise ValueError(f"{path} has {n} examples to train on; at least {_FEWEST} are needed")
    values, scale = _infer([array[~np.isnan(array)] for array in x.values()])
    if scale != 1:
        note += f"; uint8 divided by {scale}"
    x, y = _split(x, y, seed)
    tensors = {key: torch.from_numpy((x[key] / scale).astype(np.float32)) for key in SPLITS}
    return Dataset(
        name=path.stem,
        train=tensors["train"],
        valid=tensors["valid"],
        test=tensors["test"],
        labels={key: torch.from_numpy(y[key].astype(np.int64)) for key in y} or None,
        values=values,
        source=f"user file {path}{note}",
    )


def _choose(path: Path, arrays: _Splits) -> tuple[_Splits, _Splits, str]:
    """The examples and labels by split, and a note on what was left aside."""
    named = {key.removeprefix("x_"): array for key, array in arrays.items()}
    labels = {key: array for key, array in named.items() if key == "y" or key.startswith("y_")}
    rest = {key: array for key, array in named.items() if key not in labels}
    note = ""
    if "train" in rest:
        # A misspelt split would otherwise be replaced by a random one, unseen.
        if unknown := [key for key in rest if key not in SPLITS]:
            raise ValueError(f"{path}: array {unknown[0]!r} beside 'train' is none of {SPLITS}")
        x = rest
    elif "x" in rest or len(rest) == 1:
        key = "x" if "x" in rest else next(iter(rest))
        x = {"train": rest[key]}
        if unused := [other for other in rest if other != key]:
            note = f"; not used: {', '.join(unused)}"
    else:
        found = ", ".join(arrays) or "none"
        raise ValueError(f"{path} has arrays {found}; name them 'train', 'valid', 'test', or 'x'")
    y = {key.removeprefix("y_") if key != "y" else "train": labels[key] for key in labels}
    if y and set(y) != set(x):
        raise ValueError(
            f"{path} has labels {', '.join(labels)} for the examples {', '.join(x)}; "
            "give labels for each of them or for none"
        )
    for key, classes in y.items():
        if classes.dtype.kind not in "bui" or classes.shape != x[key].shape[:1]:
            raise ValueError(
                f"{path}, labels of {key}: {classes.dtype}{classes.shape}; "
                f"one whole number for each example, {x[key].shape[:1]}, is needed"
            )
    return x, y, note


def _check(where: str, x: np.ndarray, missing: bool) -> None:
    if x.dtype.kind not in "buif":
        raise TypeError(f"{where} holds {x.dtype}; real numbers are needed")
    if x.ndim < 2:
        raise ValueError(
            f"{where} has shape {x.shape}; (examples, features...) is needed: "
            "reshape(-1, 1) makes each number an example"
        )
    if x.size == 0:
        raise ValueError(f"{where} is empty: its shape is {x.shape}")
    bad = ~(np.abs(x) <= np.finfo(np.float32).max)  # so written that NaN counts as bad
    if missing:
        bad &= ~np.isnan(x)
    if bad.any():
        row, *column = (int(i) for i in np.argwhere(bad)[0])
        at = column[0] if len(column) == 1 else tuple(column)
        raise ValueError(
            f"{where}, row {row}, column {at} (from 0) is {x[(row, *column)]}; finite numbers "
            f"within float32 are needed ({int(bad.sum())} of {x.size} are not)"
        )


def _infer(arrays: list[np.ndarray]) -> tuple[str, int]:
    """The kind of values, and the number to divide them by."""
    if all(((x == 0) | (x == 1)).all() for x in arrays):
        return "binary", 1
    if all(x.dtype == np.uint8 for x in arrays):
        return "grey", 255
    if all((x >= 0).all() for x in arrays):
        if all((x <= 1).all() for x in arrays):
            return "grey", 1
        if all((x == np.floor(x)).all() for x in arrays):
            return "counts", 1
    return "real", 1


def _split(x: _Splits, y: _Splits, seed: int) -> tuple[_Splits, _Splits]:
    missing = [split for split in ("valid", "test") if split not in x]
    if not missing:
        return x, y
    x, y = dict(x), dict(y)
    n = len(x["train"])
    # The legacy generator: numpy promises that its stream never changes, so nor does the split.
    order = np.random.RandomState(seed).permutation(n)
    sizes = [n - len(missing) * (n // 10)] + [n // 10] * len(missing)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    for arrays in (x, y) if y else (x,):
        whole = arrays["train"]
        for split, part in zip(["train", *missing], parts, strict=True):
            arrays[split] = whole[part]
    return x, y
