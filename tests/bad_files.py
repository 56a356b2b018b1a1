"""Files and run folders that are wrong in one way each."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from cli_calls import config_of


def write_all(place: Path, run: Path) -> None:
    """Fill a folder with bad files, and with damaged copies of a good run."""
    _data(place)
    _configs(place)
    (place / "a-file").write_text("in the way")
    shutil.copytree(run, place / "run")
    whole = (run / "checkpoint.pt").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    _damaged(place, run, "flipped", bytes(flipped))
    _damaged(place, run, "truncated", whole[: len(whole) // 2])
    _damaged(place, run, "empty", b"")
    _damaged(place, run, "words", b"these are no weights\n" * 50)
    _damaged(place, run, "pickled", pickle.dumps({"weights": 1}))
    for name, content in (("foreign", {"state_dict": torch.zeros(3)}), ("module", torch.nn.ReLU())):
        _damaged(place, run, name, b"")
        torch.save(content, place / name / "checkpoint.pt")
    with zipfile.ZipFile(_damaged(place, run, "zipped", b""), "w") as archive:
        archive.writestr("data.pkl", "nothing")
    _damaged(place, run, "no-checkpoint", b"").unlink()
    _damaged(place, run, "no-config", whole).with_name("config.yaml").unlink()
    (place / "nothing").mkdir()
    config = config_of(run)
    no_prior = {name: value for name, value in config.items() if name != "prior"}
    _configured(place, run, "no-prior", no_prior)
    _configured(place, run, "other-latent", {**config, "latent": 3})
    _configured(place, run, "many-epochs", {**config, "epochs": "many"})
    _configured(place, run, "other-option", {**config, "learning_rate": 1})
    _configured(place, run, "other-class", {**config, "prior": {"class_path": "yours.Prior"}})
    for name, path in (("wrong-kind", "pyro_vae.networks.MLP"), ("no-class", "pyro_vae.priors.No")):
        _configured(place, run, name, {**config, "prior": {"class_path": path}})
    (_damaged(place, run, "no-yaml", whole).with_name("config.yaml")).write_text("a: [1,\nb: {")


def _data(place: Path) -> None:
    real = np.random.default_rng(0).normal(size=(40, 3))
    holes = real.copy()
    holes[7, 1] = np.nan
    infinite = real.copy()
    infinite[0, 2] = np.inf
    arrays: dict[str, Any] = {
        "real": real,
        "nan": holes,
        "inf": infinite,
        "line": real[:, 0],
        "one": real[:1],
        "none": real[:0],
        "words": np.array([["a", "b"]] * 40),
        "complex": real + 1j,
        "counts": np.arange(120).reshape(40, 3) % 7,
        "objects": np.array([[{}, {}]] * 40, dtype=object),
        "negative": np.arange(120).reshape(40, 3) - 3,
        "nothing": np.where(np.arange(40)[:, None] == 7, np.nan, real),
        "grey": np.where(holes == holes, 0.3, np.nan),
    }
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array)
    np.savez(place / "shapes.npz", train=real, test=real[:, :2])
    np.savez(place / "whole.npz", x=real)
    np.savez(place / "labels.npz", x=real, y=np.arange(40) - 1)
    np.savez(place / "unlabelled.npz", x=real, y=np.full(40, -1))
    content = (place / "whole.npz").read_bytes()
    (place / "cut.npz").write_bytes(content[: len(content) // 2])
    (place / "blank.csv").write_text("")
    (place / "words.csv").write_text("a,b\n1,2\n3,four\n")
    (place / "ragged.csv").write_text("1,2\n3\n")
    (place / "nan.csv").write_text("1,2\nnan,4\n")
    (place / "folder.npy").mkdir()


def _configs(place: Path) -> None:
    texts = {
        "broken": "data: [1,\nfoo: {",
        "list": "- 1\n- 2\n",
        "key": "epoch: 3\n",
        "type": "epochs: many\n",
        "part": "prior:\n  class_path: Foo\n",
        "option": "encoder:\n  class_path: pyro_vae.networks.MLP\n  init_args:\n    wide: 3\n",
        "nameless": "prior:\n  class: StandardNormal\n",
    }
    for name, text in texts.items():
        (place / f"{name}.yaml").write_text(text)
    (place / "binary.yaml").write_bytes(bytes(range(128, 256)))


def _damaged(place: Path, run: Path, name: str, content: bytes) -> Path:
    checkpoint = Path(shutil.copytree(run, place / name)) / "checkpoint.pt"
    checkpoint.write_bytes(content)
    return checkpoint


def _configured(place: Path, run: Path, name: str, config: dict[str, Any]) -> None:
    shutil.copytree(run, place / name)
    (place / name / "config.yaml").write_text(yaml.safe_dump(config))
