"""The command line as tests call it: in this process, with networks as small as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from pyro_vae import training
from pyro_vae.cli.main import run

NETS = ["--encoder.hidden", "[8]", "--decoder.hidden", "[8]", "--latent", "2"]
TINY = [*NETS, "--limit", "50", "--epochs", "1", "--particles", "5", "--pictures", "false"]
# A shell that starts a process in the background may have it ignore Ctrl-C.
MAIN = """
import signal, torch
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
from pyro_vae.cli.main import main
main()
"""


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object that stdout holds, in one line."""
        (line,) = self.out.splitlines()
        report: dict[str, Any] = json.loads(line)
        return report


class Command:
    """``command("train", "--epochs", 1)``: run in this process, with what it printed."""

    def __init__(self, capsys: Any) -> None:
        self.capsys = capsys

    def __call__(self, *words: object) -> Result:
        self.capsys.readouterr()
        code = run([str(word) for word in words])
        printed = self.capsys.readouterr()
        return Result(code, printed.out, printed.err)

    def good(self, *words: object) -> Result:
        """The same for a command that must succeed."""
        result = self(*words)
        assert result.code == 0, result.err
        return result

    def bad(self, *words: object) -> str:
        """The one line of a command that must fail, without its beginning."""
        result = self(*words)
        assert result.code == 2
        assert result.out == ""
        assert result.err.endswith("\n") and result.err.count("\n") == 1, result.err
        start = f"pyro-vae {words[0]}: error: "
        assert result.err.startswith(start)
        return result.err.removeprefix(start).rstrip("\n")


def start(*words: object, **environment: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is there, for as long as the process lives."""
    end = time.monotonic() + 60
    while not happened() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    if not happened():
        process.kill()
        raise AssertionError(process.communicate()[1])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, with what it holds."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def config_of(folder: Path | str) -> dict[str, Any]:
    """The configuration that a run folder keeps."""
    config: dict[str, Any] = yaml.safe_load(Path(folder, "config.yaml").read_text())
    return config


def same_state(first: Path, second: Path) -> bool:
    """Whether two checkpoints hold equal weights, optimiser states and histories."""
    one, other = training.load(first), training.load(second)
    names = ("weights", "best", "optimizer", "scheduler", "rng", "epoch", "step", "best_elbo")
    return all(_equal(one[name], other[name]) for name in names)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
