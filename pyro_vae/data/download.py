"""Published files: from the folder if somebody put them there, else from the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def find_published(folder: Path, sha256: Mapping[str, str]) -> dict[str, Path] | None:
    """The files placed in `folder` by hand, or None where one of them is missing.

    Args:
        sha256: the checksum of each file name.

    Raises:
        ValueError: a file is there and is not the published one.
    """
    paths = {name: folder / name for name in sha256}
    if not all(path.is_file() for path in paths.values()):
        return None
    import pooch

    for name, path in paths.items():
        if pooch.file_hash(str(path), alg="sha256") != sha256[name]:
            raise ValueError(
                f"{path} is not the published file (its sha256 is not {sha256[name]}): "
                "delete it, or put the right one there"
            )
    return paths


def download(
    folder: Path,
    sha256: Mapping[str, str],
    mirrors: Sequence[str],
    *,
    retries: int = 2,
    progress: bool = True,
) -> dict[str, Path]:
    """Fetch each file into `folder` and check it, from the first mirror that serves it.

    Args:
        mirrors: addresses of folders, each ending in "/".
        retries: further tries per mirror after a first failure.
        progress: show a bar on stderr.

    Raises:
        ConnectionError: no mirror gave a file with the right checksum; the message says what
            each of them did.
    """
    import pooch
    import requests

    paths = {}
    for name in sha256:
        failures = []
        for mirror in mirrors:
            store = pooch.create(
                path=folder, base_url=mirror, registry=dict(sha256), retry_if_failed=retries
            )
            # Chunks of 1 KiB, pooch's default, flush too often for files of 100 MB.
            downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=2**16, timeout=30)
            try:
                paths[name] = Path(store.fetch(name, downloader=downloader))
                break
            except requests.HTTPError as error:
                status = "" if error.response is None else error.response.status_code
                failures.append(f"{mirror}{name}: HTTP {status}")
            except requests.RequestException as error:
                failures.append(f"{mirror}{name}: {type(error).__name__}")
            except ValueError:
                # pooch's own report of a checksum that differs takes several lines.
                failures.append(f"{mirror}{name}: wrong checksum")
        else:
            raise ConnectionError("; ".join(failures))
    return paths
