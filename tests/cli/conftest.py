"""A command line to call, and runs that were trained once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_calls import TINY, Command

from pyro_vae.cli.main import run


@pytest.fixture
def command(capsys, tmp_path, monkeypatch) -> Command:
    """Commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "digits"
    assert run(["train", *TINY, "--epochs", "2", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run_folder(trained, tmp_path) -> Path:
    """A run of two epochs on 50 digits, of which tests may do as they like."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
