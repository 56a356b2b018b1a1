"""A published data set that is fetched once and then read from the cache folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_vae.data.cache import cache_folder, check_arrays, read_arrays, write_npz
from pyro_vae.data.dataset import Dataset
from pyro_vae.data.download import download, find_published

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class CachedSet:
    """What is published, how it is packed into one .npz, and how that becomes a `Dataset`.

    To add a set, write one of these and name it in `registry.py`.

    Args:
        name: its name, and that of its folder in the cache.
        file: the name of the packed file in that folder.
        about: one line on what it is, with authors and year.
        licence: as its publishers state it.
        values: of the `Dataset`.
        event: the shape of an example.
        sizes: examples in train, valid and test.
        mirrors: addresses of folders, each ending in "/", in the order to try.
        sha256: the checksum of each published file.
        arrays: the shape of each array (uint8) of the packed file.
        pack: from the published files, by name, to those arrays.
        unpack: from those arrays to a `Dataset`.
    """

    name: str
    file: str
    about: str
    licence: str
    values: str
    event: tuple[int, ...]
    sizes: tuple[int, int, int]
    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]
    arrays: Mapping[str, tuple[int, ...]]
    pack: Callable[[Mapping[str, Path]], Arrays]
    unpack: Callable[[CachedSet, Arrays], Dataset]

    def path(self, cache: str | Path | None = None) -> Path:
        """Where the packed file is, or will be."""
        return cache_folder(cache) / self.name / self.file

    def fetch(
        self,
        cache: str | Path | None = None,
        *,
        network: bool = True,
        retries: int = 2,
        progress: bool = True,
    ) -> Path:
        """Make sure that the packed file is in the cache and return its path.

        A packed file that is there is left alone. Published files that somebody placed in the
        set's folder are used before the network is.

        Raises:
            FileNotFoundError: it is absent and the network is not to be used or does not answer.
            ValueError: a file placed by hand is not the published one.
            OSError: the folder cannot be written.
        """
        path = self.path(cache)
        if path.is_file():
            return path
        published = find_published(path.parent, self.sha256)
        if published is None and not network:
            raise self._absent(path, "")
        try:
            if published is not None:
                self._write(path, published)
                return path
            # Beside the set's folder, which thus appears only when there is something to keep.
            root = path.parent.parent
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=f".{self.name}-") as folder:
                found = download(
                    Path(folder), self.sha256, self.mirrors, retries=retries, progress=progress
                )
                self._write(path, found)
        except ConnectionError as error:
            raise self._absent(path, f" and cannot be downloaded ({error})") from error
        except OSError as error:
            cure = "set PYRO_VAE_DATA to a folder with room that you can write"
            reason = error.strerror or str(error)
            raise OSError(error.errno or 0, f"cannot write {path} ({reason}); {cure}") from error
        return path

    def load(self, cache: str | Path | None = None, *, network: bool = True) -> Dataset:
        """The data set, from the cache, fetched first where it is absent.

        Raises:
            ValueError: the packed file is damaged.
            FileNotFoundError: as `fetch`.
        """
        path = self.fetch(cache, network=network)
        cure = f"delete it and run `pyro-vae data fetch {self.name}`"
        arrays = read_arrays(path, cure)
        try:
            check_arrays(path, arrays, self.arrays)
        except ValueError as error:
            raise ValueError(f"{error}: {cure}") from None
        return self.unpack(self, arrays)

    def _write(self, path: Path, published: Mapping[str, Path]) -> None:
        arrays = self.pack(published)
        check_arrays(f"{self.name} as published", arrays, self.arrays)
        path.parent.mkdir(exist_ok=True)
        write_npz(path, arrays)

    def _absent(self, path: Path, why: str) -> FileNotFoundError:
        return FileNotFoundError(
            f"{self.name}: {path} is absent{why}; with a network run "
            f"`pyro-vae data fetch {self.name}`, or put {', '.join(self.sha256)} "
            f"into {path.parent}"
        )
