"""The rate-distortion plane."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_vae import plots

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_models_are_joined_in_the_order_of_their_rates():
    axis = plots.rate_distortion([10.0, 2.0, 5.0], [70.0, 90.0, 80.0])
    points = axis.lines[0].get_xydata()
    np.testing.assert_array_equal(points, [[2, 90], [5, 80], [10, 70]])


def test_lines_of_one_elbo_have_slope_minus_one_and_the_best_is_named():
    axis = plots.rate_distortion([2.0, 10.0], [90.0, 70.0])
    for line in axis.lines[1:]:
        (x0, y0), (x1, y1) = line.get_xydata()
        assert (y1 - y0) / (x1 - x0) == pytest.approx(-1.0)
    assert sum(axis.lines[1].get_xydata()[0]) == pytest.approx(80.0)
    assert "80.0, the best" in axis.get_legend().get_texts()[0].get_text()


def test_points_that_coincide_share_their_labels():
    axis = plots.rate_distortion([0.0, 0.01, 10.0], [90.0, 90.0, 70.0], labels=["10", "5", "1"])
    assert [text.get_text() for text in axis.texts] == ["10, 5", "1"]


@pytest.mark.parametrize(
    ("rate", "distortion", "labels", "line"),
    [
        ([1.0], [1.0, 2.0], (), "one value for each model"),
        ([], [], (), "one value for each model"),
        ([1.0], [2.0], ["a", "b"], "there are 1 models but 2 labels"),
        ([1.0], [float("inf")], (), "must be finite"),
    ],
)
def test_bad_input_gets_one_line(rate, distortion, labels, line):
    with pytest.raises(ValueError, match=line):
        plots.rate_distortion(rate, distortion, labels=labels)
