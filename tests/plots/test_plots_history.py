"""The curves are the history's own numbers, named and in order."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from pyro_vae import plots
from pyro_vae.plots import _style
from pyro_vae.training import History

HISTORY = {
    "epoch": [1, 2, 3],
    "elbo": [-300.0, -200.0, -150.0],
    "reconstruction": [-295.0, -185.0, -130.0],
    "kl": [5.0, 15.0, 20.0],
    "valid_elbo": [-290.0, -210.0, -160.0],
    "valid_reconstruction": [-284.0, -194.0, -139.0],
    "valid_kl": [6.0, 16.0, 21.0],
    "seconds": [1.0, 1.0, 1.0],
    "note": ["a", "b", "c"],
}


def legend(axis) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_each_panel_has_its_two_lines():
    axes = plots.curves(HISTORY)
    assert len(axes) == 3
    for axis, name in zip(axes, ["elbo", "reconstruction", "kl"], strict=True):
        training, validation = axis.lines
        for line, key in ((training, name), (validation, f"valid_{name}")):
            assert list(line.get_xdata()) == HISTORY["epoch"]
            assert list(line.get_ydata()) == HISTORY[key]
        assert (training.get_color(), validation.get_color()) == (_style.TRAIN, _style.VALID)
        assert (training.get_label(), validation.get_label()) == ("training", "validation")
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "nats per example")
    assert [axis.get_title()[:4] for axis in axes] == ["ELBO", "reco", r"$\ma"]
    assert legend(axes[0]) == ["training", "validation"]
    assert axes[1].get_legend() is None and axes[2].get_legend() is None


def test_best_epoch_is_marked_in_every_panel():
    axes = plots.curves(HISTORY, best_epoch=2)
    assert [list(axis.lines[2].get_xdata()) for axis in axes] == [[2, 2]] * 3
    assert legend(axes[0]) == ["training", "validation", "best epoch: 2"]


def test_only_what_the_history_knows_is_drawn():
    (axis,) = plots.curves({"elbo": [-3.0, -2.0]})
    assert list(axis.lines[0].get_xdata()) == [1, 2]  # epochs count from one
    assert legend(axis) == ["training"]
    first, second = plots.curves({"elbo": [-3.0], "valid_kl": torch.tensor([1.0])})
    assert legend(first) == ["training", "validation"]  # the one legend serves both panels
    assert len(first.lines) == len(second.lines) == 1


def test_gaps_are_left_out():
    history = {"epoch": [1, 2, 3, 4], "elbo": [-4, float("nan"), -2, float("-inf")]}
    (axis,) = plots.curves({**history, "valid_elbo": [None, -3.5, None, -2.5]})
    assert [list(line.get_xdata()) for line in axis.lines] == [[1, 3], [2, 4]]
    assert [list(line.get_ydata()) for line in axis.lines] == [[-4, -2], [-3.5, -2.5]]


def test_skip_leaves_out_the_first_epochs():
    axes = plots.curves(HISTORY, skip=2)
    assert list(axes[0].lines[0].get_xdata()) == [3]
    assert list(axes[0].lines[1].get_ydata()) == [-160.0]


def test_one_epoch_is_seen_and_ticks_are_whole():
    axes = plots.curves({"epoch": [7], "elbo": [-1.0]})
    assert axes[0].lines[0].get_marker() == "o"
    low, high = axes[0].get_xlim()
    assert [t for t in axes[0].get_xticks() if low <= t <= high] == [7]
    (long,) = plots.curves({"elbo": np.linspace(-9, -1, 100)})
    assert long.lines[0].get_marker() == "None"


def test_given_axes_are_used():
    figure, given = plt.subplots(1, 3)
    assert plots.curves(HISTORY, ax=given) == tuple(given)
    _, single = plt.subplots()
    assert plots.curves({"kl": [1.0]}, ax=single) == (single,)
    assert len(plt.get_fignums()) == 2
    with pytest.raises(ValueError, match="this history needs 3 Axes, got 1"):
        plots.curves(HISTORY, ax=single)
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes, got Figure"):
        plots.curves({"kl": [1.0]}, ax=figure)


def test_the_history_of_a_run_is_drawn_as_it_is():
    first, second = plots.curves(History([{"epoch": 5, "elbo": -3.0, "valid_kl": 1.0}]))
    assert list(first.lines[0].get_xdata()) == [5] and list(second.lines[0].get_ydata()) == [1.0]


BAD = [
    ({}, {}, ValueError, "history has no values of elbo, reconstruction, kl"),
    ({"loss": [1.0]}, {}, ValueError, "it has loss"),
    (History([{"loss": 1.0}]), {}, ValueError, "it has loss"),
    ({"elbo": [None, None]}, {}, ValueError, "history has no values of elbo"),
    ({"elbo": [1.0], "kl": [1.0, 2.0]}, {}, ValueError, "history has 1 epochs but 2 of 'kl'"),
    ({"epoch": [1], "kl": [1.0, 2.0]}, {}, ValueError, "history has 1 epochs but 2 of 'kl'"),
    ({"elbo": [[1.0]]}, {}, TypeError, "history['elbo'] must hold numbers or None"),
    ({"elbo": np.ones((2, 2))}, {}, ValueError, "must be one value for each epoch, got (2, 2)"),
    ({"elbo": ["low"]}, {}, TypeError, "history['elbo'] must hold numbers or None"),
    ({"elbo": [1.0]}, {"skip": 1}, ValueError, "skip=1 leaves nothing of 1 epochs"),
]


@pytest.mark.parametrize(("history", "options", "kind", "message"), BAD)
def test_bad_history_is_one_clear_line_and_leaves_no_figure(history, options, kind, message):
    with pytest.raises(kind) as caught:
        plots.curves(history, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert plt.get_fignums() == []
