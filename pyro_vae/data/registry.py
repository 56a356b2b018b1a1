"""Data sets by name: load one, fetch one, list them all."""

from __future__ import annotations

import difflib
from pathlib import Path

from pyro_vae.data.cached_set import CachedSet
from pyro_vae.data.dataset import Dataset
from pyro_vae.data.digits import DIGITS_ABOUT, DIGITS_LICENCE, DIGITS_SIZES, digits
from pyro_vae.data.files import SUFFIXES, load_file
from pyro_vae.data.images import FASHION_MNIST, KMNIST, MNIST
from pyro_vae.data.static import MNIST_STATIC
from pyro_vae.data.synthetic import linear_gaussian

_BUILT_IN = {"digits": digits, "linear_gaussian": linear_gaussian}
_CACHED: dict[str, CachedSet] = {s.name: s for s in (MNIST, MNIST_STATIC, FASHION_MNIST, KMNIST)}


def names() -> list[str]:
    """The names that `load` knows.

    >>> names()
    ['digits', 'linear_gaussian', 'mnist', 'mnist_static', 'fashion_mnist', 'kmnist']
    """
    return [*_BUILT_IN, *_CACHED]


def load(
    name_or_path: str | Path,
    *,
    flatten: bool = True,
    cache: str | Path | None = None,
    download: bool = True,
    seed: int = 0,
    missing: bool = False,
) -> Dataset:
    """A data set by its name, or from a .npy, .npz or .csv file.

    Args:
        name_or_path: one of `names()`, or a path.
        flatten: events as vectors; otherwise images are (channels, height, width) and a user's
            arrays keep their shape.
        cache: the folder of the data sets; by default $PYRO_VAE_DATA or the platform's own.
        download: whether a set that is absent may be fetched from the network.
        seed: of the random split of a user's file; nothing else depends on it.
        missing: whether a user's file may have missing entries, nan or empty; they become nan.

    Raises:
        ValueError: the name is unknown, or a file is damaged or holds what it should not.
        TypeError: a user's array does not hold real numbers.
        FileNotFoundError: the file is absent, or the set is and cannot be fetched.

    >>> load("linear_gaussian")
    Dataset('linear_gaussian', real, train=(1600, 8), valid=(200, 8), test=(200, 8), \
truth=LinearGaussian)
    """
    name = str(name_or_path)
    if name in _BUILT_IN:
        data = _BUILT_IN[name]()
    elif name in _CACHED:
        data = _CACHED[name].load(cache, network=download)
    elif Path(name).suffix.lower() in SUFFIXES:
        data = load_file(name, seed=seed, missing=missing)
    else:
        raise _unknown(name)
    return data.flatten() if flatten else data


def fetch(name: str, *, cache: str | Path | None = None, progress: bool = True) -> Path | None:
    """Bring a set into the cache, unless it is there; its path, or None if it needs no file.

    Raises:
        ValueError: the name is unknown, or a file put there by hand is not the published one.
        FileNotFoundError: the network does not give it.
        OSError: the cache cannot be written.
    """
    if name in _BUILT_IN:
        return None
    if name not in _CACHED:
        raise _unknown(name)
    return _CACHED[name].fetch(cache, progress=progress)


def describe(*, cache: str | Path | None = None) -> str:
    """A table of the data sets, a line each: sizes, whether cached, what it is, licence.

    >>> print(describe().splitlines()[1])
    digits           grey    1x8x8    1297/200/300       built in  8x8 handwritten digits of UCI \
(Alpaydin and Kaynak, 1998), kept in scikit-learn [CC BY 4.0]
    """
    about = f"{DIGITS_ABOUT} [{DIGITS_LICENCE}]"
    exact = "synthetic, with its exact evidence and posterior [none needed]"
    rows = [
        ("name", "values", "event", "train/valid/test", "where", "what [licence]"),
        ("digits", "grey", "1x8x8", _sizes(DIGITS_SIZES), "built in", about),
        ("linear_gaussian", "real", "8", "1600/200/200", "built in", exact),
    ]
    for s in _CACHED.values():
        where = "cached" if s.path(cache).is_file() else "to fetch"
        event = "x".join(map(str, s.event))
        about = f"{s.about} [{s.licence}]"
        rows.append((s.name, s.values, event, _sizes(s.sizes), where, about))
    return "\n".join("{:<15}  {:<6}  {:<7}  {:<17}  {:<8}  {}".format(*row) for row in rows)


def _sizes(sizes: tuple[int, int, int]) -> str:
    return "/".join(map(str, sizes))


def _unknown(name: str) -> ValueError:
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return ValueError(
        f"unknown data set {name!r}; {hint}There are {', '.join(names())}, "
        f"and files ending in {', '.join(SUFFIXES)}"
    )
