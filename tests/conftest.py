"""What every test starts from: one thread, a seed, an empty param store, checks on."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import pyro
import pytest
import torch

matplotlib.use("agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh():
    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    pyro.enable_validation(True)
    yield
    pyro.clear_param_store()


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data sets; tests that need it skip where it is absent."""
    folder = os.environ.get("PYRO_VAE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set PYRO_VAE_DATA to a folder with the data sets")
    return Path(folder)
