"""The composed arrays hold exactly the pixels they were given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from pyro_vae import plots
from pyro_vae.plots import _style

GREY = torch.arange(6 * 28 * 28, dtype=torch.float32).reshape(6, 28, 28) / (6 * 28 * 28)


def array(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def cell(ax, row: int, column: int, side: int = 28, gap: int = 1) -> np.ndarray:
    y, x = row * (side + gap), column * (side + gap)
    return array(ax)[y : y + side, x : x + side]


def rgb(image) -> np.ndarray:
    return np.repeat(np.asarray(image, dtype=np.float64)[..., None], 3, axis=-1)


def test_pixels_are_in_their_cells_and_separators_are_white():
    ax = plots.images(GREY, columns=3, title="six")
    assert array(ax).shape == (2 * 28 + 1, 3 * 28 + 2, 3)
    for k in range(6):
        np.testing.assert_array_equal(cell(ax, k // 3, k % 3), rgb(GREY[k]))
    assert (array(ax)[28] == 1).all() and (array(ax)[:, [28, 57]] == 1).all()
    assert ax.get_title() == "six"


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (GREY, None),
        (GREY[:, None], None),
        (GREY.flatten(1), None),
        (GREY.flatten(1), (28, 28)),
        (GREY.flatten(1), (1, 28, 28)),
        (GREY.double(), None),
        (GREY.clone().requires_grad_(), None),
        (GREY.numpy(), None),
        (GREY.tolist(), None),
        (list(GREY), None),
        (tuple(GREY.clone().requires_grad_()), None),
    ],
)
def test_every_layout_and_type_gives_the_same_picture(x, shape):
    expected = array(plots.images(GREY))
    np.testing.assert_array_equal(array(plots.images(x, shape=shape)), expected)


def test_bool_bytes_and_half_precision():
    bits = GREY > 0.5
    expected = array(plots.images(bits.float()))
    np.testing.assert_array_equal(array(plots.images(bits)), expected)
    np.testing.assert_array_equal(array(plots.images(bits.byte())), expected)
    np.testing.assert_array_equal(array(plots.images(bits.byte() * 255, vmax=255)), expected)
    np.testing.assert_array_equal(array(plots.images(bits.bfloat16())), expected)


def test_colour_images_keep_their_channels():
    x = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ax = plots.images(x, columns=2)
    np.testing.assert_array_equal(cell(ax, 0, 1), x[1].permute(1, 2, 0))
    flat = plots.images(x.flatten(1), columns=2, shape=(3, 28, 28))
    np.testing.assert_array_equal(array(flat), array(ax))


def test_small_images_are_enlarged_by_whole_pixels():
    x = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(array(plots.images(x)), rgb(x[0]).repeat(4, 0).repeat(4, 1))


def test_values_are_scaled_between_vmin_and_vmax_and_clipped():
    x = torch.linspace(-1, 3, 784, dtype=torch.float64).reshape(1, 28, 28)
    np.testing.assert_allclose(
        array(plots.images(x, vmin=0, vmax=2)), rgb((x[0] / 2).clamp(0, 1)), atol=1e-15
    )
    np.testing.assert_allclose(
        array(plots.images(x, vmin=None, vmax=None)), rgb((x[0] + 1) / 4), atol=1e-15
    )
    constant = torch.full((1, 28, 28), 5.5)
    assert (array(plots.images(constant, vmin=None, vmax=None)) == 0).all()
    assert (array(plots.images(constant, vmin=None, vmax=1)) == 1).all()
    assert (array(plots.images(constant, vmin=6, vmax=None)) == 0).all()


def test_missing_pixels_have_a_colour_of_their_own_and_infinite_ones_are_clipped():
    x = torch.zeros(1, 28, 28)
    x[0, 3, 4], x[0, 5, 6] = torch.nan, torch.inf
    picture = array(plots.images(x))
    from matplotlib.colors import to_rgb

    assert tuple(picture[3, 4]) == to_rgb(_style.MISSING)
    assert (picture[5, 6] == 1).all() and picture.sum() == 3 + sum(to_rgb(_style.MISSING))


def test_colour_map_and_grey_separators_on_light_images():
    ax = plots.images(torch.zeros(2, 28, 28), columns=2, cmap="gray_r")
    assert (cell(ax, 0, 0) == 1).all() and (array(ax)[:, 28] == 0.75).all()


@pytest.mark.parametrize(
    ("n", "columns", "rows", "across"),
    [
        (1, None, 1, 1),
        (2, None, 1, 2),
        (5, None, 1, 5),
        (7, None, 3, 3),
        (10, None, 2, 5),
        (64, None, 8, 8),
        (5, 5, 1, 5),
        (5, 2, 3, 2),
        (3, 50, 1, 3),
        (4, 1, 4, 1),
    ],
)
def test_grid_of_any_count(n, columns, rows, across):
    ax = plots.images(torch.zeros(n, 28, 28), columns=columns)
    assert array(ax).shape == (rows * 29 - 1, across * 29 - 1, 3)
    cells = [cell(ax, k // across, k % across).mean() for k in range(rows * across)]
    assert cells == [0.0] * n + [1.0] * (rows * across - n)  # what is left over stays white


def test_samples_are_images_with_a_title():
    ax = plots.samples(GREY, columns=3)
    np.testing.assert_array_equal(array(ax), array(plots.images(GREY, columns=3)))
    assert ax.get_title() == r"samples, $x \sim p(x)$"


def test_reconstructions_lie_under_their_originals():
    x, x_hat = GREY[:5], 1 - GREY[:5]
    ax = plots.reconstructions(x, x_hat.flatten(1), columns=3)
    # Rows: x 0-2, x_hat 0-2, then a gap of four, x 3-4, x_hat 3-4; the last cells are white.
    top = [0, 29, 61, 90]
    assert array(ax).shape == (90 + 28, 86, 3)
    for k in range(5):
        for half, images in enumerate([x, x_hat]):
            y, left = top[2 * (k // 3) + half], 29 * (k % 3)
            here = array(ax)[y : y + 28, left : left + 28]
            np.testing.assert_array_equal(here, rgb(images[k]))
    assert (array(ax)[57:61] == 1).all() and (array(ax)[61:, 58:] == 1).all()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["data", "reconstruction"] * 2
    np.testing.assert_array_equal(ax.get_yticks(), [y + 13.5 for y in top])


def test_what_is_left_over_has_no_separators():
    x = torch.zeros(3, 28, 28)
    picture = array(plots.reconstructions(x, x, columns=2, cmap="gray_r"))
    assert (picture[61:118, 28] == 0.75).all()  # the line after the last pair
    assert (picture[61:118, 29:] == 1).all()  # and nothing where a fourth would be


def test_reconstructions_share_one_scale():
    x = torch.zeros(1, 28, 28)
    x_hat = torch.full((1, 28, 28), 2.0)
    x_hat[0, 0, 0] = 4.0
    ax = plots.reconstructions(x, x_hat, vmin=None, vmax=None)
    assert (cell(ax, 0, 0) == 0).all() and (cell(ax, 1, 0)[1:] == 0.5).all()


def test_reconstructions_default_to_ten_columns():
    x = torch.zeros(23, 28, 28)
    assert array(plots.reconstructions(x, x)).shape[1] == 10 * 29 - 1
    assert array(plots.reconstructions(x[:1], x[:1])).shape == (57, 28, 3)


BAD = [
    (torch.rand(4, 10), {}, "x of shape (4, 10) has 10 features, not the pixels of a square"),
    (torch.rand(4, 10), {"shape": (3, 3)}, "does not hold images of shape (3, 3)"),
    (torch.rand(4, 64), {"shape": (64,)}, "does not hold images of shape (64,)"),
    (torch.rand(4, 8, 8, 3), {}, "channels come first, so pass x.permute(0, 3, 1, 2)"),
    (torch.rand(4, 2, 8, 8), {}, "is not (n, h, w), (n, 1, h, w) or (n, 3, h, w)"),
    (torch.rand(2, 4, 1, 8, 8), {}, "x of shape (2, 4, 1, 8, 8) is not"),
    (torch.rand(64), {}, "for a single image pass x[None]"),
    (torch.rand(0, 8, 8), {}, "got shape (0, 8, 8)"),
    ([torch.rand(8, 8), torch.rand(4, 4)], {}, "tensors of different shapes [(4, 4), (8, 8)]"),
    ([[0.1, 0.2], [0.3]], {}, "rows differ in length"),
    (torch.full((1, 8, 8), 255).byte(), {}, "whole numbers up to 255, above vmax=1: pass vmax=255"),
    (torch.rand(1, 8, 8), {"vmin": 1, "vmax": 1}, "vmin=1 must be below vmax=1"),
    (torch.rand(1, 8, 8), {"columns": 0}, "columns must be a whole number of at least 1"),
]


@pytest.mark.parametrize(("x", "options", "message"), BAD)
def test_bad_images_are_one_clear_line_and_leave_no_figure(x, options, message):
    with pytest.raises(ValueError) as caught:
        plots.images(x, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert plt.get_fignums() == []


def test_bad_types_and_pairs():
    with pytest.raises(TypeError, match="x holds complex numbers"):
        plots.images(torch.rand(1, 8, 8) * 1j)
    with pytest.raises(TypeError, match="x must hold real numbers, got list"):
        plots.images([["a", "b"]])
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes, got Figure"):
        plots.images(torch.rand(1, 8, 8), ax=plt.figure())
    with pytest.raises(ValueError, match=r"x holds images \(2, 1, 8, 8\) but x_hat \(3, 1, 8, 8\)"):
        plots.reconstructions(torch.rand(2, 8, 8), torch.rand(3, 8, 8))
