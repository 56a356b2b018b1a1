"""Every plot leaves matplotlib's settings as they were; no test leaves a figure behind."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def untouched():
    matplotlib.use("agg")
    before = dict(matplotlib.rcParams)
    yield
    after = dict(matplotlib.rcParams)
    plt.close("all")
    assert after == before
