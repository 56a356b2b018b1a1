"""Points, colours, contours and bars against closed forms."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from pyro_vae import plots
from pyro_vae.plots import _style


def codes(n: int = 200, latent: int = 2) -> torch.Tensor:
    return torch.randn(n, latent, generator=torch.Generator().manual_seed(0))


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def drawn(ax) -> dict[tuple[float, float], tuple[str, int]]:
    """Every point of the scatter, with its colour and the number of its collection."""
    return {
        tuple(point): (to_hex(colour), k)
        for k, points in enumerate(ax.collections)
        for point, colour in zip(points.get_offsets(), points.get_facecolors(), strict=True)
    }


def edges(ax) -> list[np.ndarray]:
    return [np.stack(line.get_data(), axis=-1) for line in ax.lines]


def test_points_of_the_chosen_dimensions_in_the_colours_of_their_labels():
    z, labels = codes(latent=64), torch.arange(200) % 3
    ax = plots.latent_scatter(z.requires_grad_(), labels, dims=(4, 17))
    points = drawn(ax)
    assert len(points) == 200
    for row, label in zip(z.detach().double(), labels, strict=True):
        colour, _ = points[(row[4].item(), row[17].item())]
        assert colour == _style.CLASSES[label].lower()
    assert legend(ax) == ["0", "1", "2", "prior"]
    handles = ax.get_legend().legend_handles
    assert [to_hex(handle.get_color()) for handle in handles[:3]] == [
        colour.lower() for colour in _style.CLASSES[:3]
    ]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_aspect()) == ("z[4]", "z[17]", 1.0)


def test_past_ten_classes_colours_begin_again_with_another_marker():
    z, labels = codes(), np.arange(200) % 12
    ax = plots.latent_scatter(z, labels)
    points = drawn(ax)
    assert len(set(points.values())) == 12
    first, eleventh = (points[tuple(z[k].double().tolist())] for k in (0, 10))
    assert first[0] == eleventh[0] and first[1] != eleventh[1]
    assert legend(ax) == [str(k) for k in range(12)] + ["prior"]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["cat", "dog"] * 100, ["cat", "dog"]),
        (torch.arange(200) < 50, ["False", "True"]),
        (torch.arange(200.0) % 2 + 9, ["9", "10"]),
        ([7] * 200, ["7"]),
    ],
)
def test_kinds_of_classes(labels, names):
    assert legend(plots.latent_scatter(codes(), labels)) == [*names, "prior"]


@pytest.mark.parametrize("labels", [torch.linspace(0, 1, 200), torch.arange(200)])
def test_a_quantity_has_a_colour_bar(labels):
    ax = plots.latent_scatter(codes(), labels)
    assert legend(ax) == ["prior"]
    assert ax.figure.axes[1].get_ylabel() == "label"
    ax = plots.latent_scatter(codes(), labels, quantity="age (years)")
    assert ax.figure.axes[1].get_ylabel() == "age (years)"
    points = ax.collections[0]
    where = {tuple(p): v for p, v in zip(points.get_offsets(), points.get_array(), strict=True)}
    assert where[tuple(codes()[3].double().tolist())] == float(labels[3])


def test_no_labels_and_no_levels():
    ax = plots.latent_scatter(codes(1), levels=())
    assert len(drawn(ax)) == 1 and not ax.lines and ax.get_legend() is None


def test_the_standard_normals_contours_are_circles_of_the_right_radii():
    ax = plots.latent_scatter(codes())
    radii = [np.linalg.norm(edge, axis=1) for edge in edges(ax)]
    for radius, level in zip(radii, (0.5, 0.9, 0.99), strict=True):
        np.testing.assert_allclose(radius, math.sqrt(-2 * math.log(1 - level)), rtol=1e-12)
    names = [text.get_text() for text in ax.texts]
    assert names == ["50 %", "90 %", "99 %"]
    for text, radius in zip(ax.texts, radii, strict=True):
        np.testing.assert_allclose(text.get_position(), (0, radius[0]), atol=1e-9)


@pytest.mark.parametrize(
    ("loc", "scale", "constant"),
    [
        ((0.0, 0.0), (1.0, 1.0), -500.0),
        ((3.0, -40.0), (0.01, 0.02), 500.0),
        ((0.0, 5.0), (20.0, 0.5), 0.0),
    ],
)
def test_contours_of_a_normal_prior_wherever_it_lies_and_however_normalised(loc, scale, constant):
    mean, deviation = torch.tensor(loc).double(), torch.tensor(scale).double()
    prior = Independent(Normal(mean, deviation), 1)
    z = codes().double() * deviation + mean
    ax = plots.latent_scatter(z, prior_log_prob=lambda p: prior.log_prob(p) + constant)
    assert len(ax.lines) == 3
    for edge, level in zip(edges(ax), (0.5, 0.9, 0.99), strict=True):
        radius = np.linalg.norm((edge - mean.numpy()) / deviation.numpy(), axis=1)
        # At least 0.6 x 241 points span the 0.99995 region (8.9 deviations) of either side,
        # so a step is below 0.07 of a deviation and the edge is right to a fraction of it.
        np.testing.assert_allclose(radius, math.sqrt(-2 * math.log(1 - level)), atol=0.02)


def test_contours_of_a_mixture_hold_their_share_of_its_draws():
    torch.manual_seed(0)
    parts = Normal(torch.tensor([[-3.0, 0.0], [3.0, 1.0]]), torch.tensor([[0.5, 1.0], [1.0, 0.3]]))
    prior = MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), Independent(parts, 1))
    draws = prior.sample((20_000,))
    ax = plots.latent_scatter(draws, prior_log_prob=prior.log_prob)
    density = prior.log_prob(draws)
    names = [text.get_text() for text in ax.texts]
    assert names == ["50 %", "90 %", "99 %"]
    for text, level in zip(ax.texts, (0.5, 0.9, 0.99), strict=True):
        height = prior.log_prob(torch.tensor(text.get_position()).float())
        # Five standard errors of a share of 20,000 draws, and half a percent for the grid.
        tolerance = 5 * math.sqrt(level * (1 - level) / 20_000) + 0.005
        assert (density >= height).double().mean().item() == pytest.approx(level, abs=tolerance)


def test_contour_of_a_uniform_prior_is_its_edge():
    def log_prob(points):
        return torch.where((points.abs() <= 1).all(-1), 0.0, -torch.inf)

    ax = plots.latent_scatter(codes() / 5, prior_log_prob=log_prob)
    (edge,) = edges(ax)
    np.testing.assert_allclose(np.abs(edge).max(axis=1), 1.0, atol=0.02)
    assert [text.get_text() for text in ax.texts] == ["99 %"]


def test_prior_is_asked_in_the_type_of_the_codes_without_gradients():
    asked = []

    def log_prob(points):
        asked.append((points.dtype, torch.is_grad_enabled()))
        return -points.square().sum(-1)

    plots.latent_scatter(codes().double(), prior_log_prob=log_prob)
    assert set(asked) == {(torch.float64, False)}


def test_order_of_drawing_is_fixed_and_leaves_the_global_generators_alone():
    numpy_before, torch_before = repr(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    first, second = (plots.latent_scatter(codes(), torch.arange(200) % 4) for _ in range(2))
    points = [ax.collections[0].get_offsets() for ax in (first, second)]
    np.testing.assert_array_equal(*points)
    assert not np.array_equal(points[0], codes())
    assert repr(np.random.get_state()) == numpy_before  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


KL = torch.tensor([0.5, 2.0, 0.001, 1.25])


def test_bars_are_sorted_and_named():
    ax = plots.kl_per_dimension(KL.clone().requires_grad_())
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, [2.0, 1.25, 0.5, 0.001])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "3", "0", "2"]
    assert ax.get_title() == "4 dimensions, 3.8 nats in all"
    assert ax.get_ylabel() == "KL (nats per example)" and not ax.lines
    assert ax.get_legend() is None


def test_examples_are_averaged():
    rows = torch.stack([KL * 0.5, KL * 1.5])
    heights = [bar.get_height() for bar in plots.kl_per_dimension(rows).patches]
    np.testing.assert_allclose(heights, [2.0, 1.25, 0.5, 0.001], rtol=1e-6)


def test_threshold_is_marked_and_counted():
    ax = plots.kl_per_dimension(KL, threshold=0.5, title="mine")
    assert list(ax.lines[0].get_ydata()) == [0.5, 0.5]
    assert legend(ax) == ["3 of 4 at or above 0.5 nats"]
    colours = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colours == [_style.TRAIN.lower()] * 3 + [_style.MUTED.lower()]
    assert ax.get_title() == "mine"


@pytest.mark.parametrize("latent", [1, 2, 64, 200])
def test_any_number_of_dimensions(latent):
    kl = codes(latent, 1)[:, 0].abs()
    ax = plots.kl_per_dimension(kl, threshold=0.01)
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, kl.sort(descending=True).values)
    left, right = ax.get_xlim()
    assert left < ax.patches[0].get_x() and ax.patches[-1].get_x() + 0.8 < right
    assert ax.get_xlabel().startswith("latent dimension" + ("s counted" if latent > 32 else ","))


BAD = [
    (lambda: plots.latent_scatter(codes(5, 1)), "z must be (n, latent) with latent at least 2"),
    (lambda: plots.latent_scatter(torch.zeros(0, 2)), "got shape (0, 2)"),
    (lambda: plots.latent_scatter(torch.zeros(2, 5, 2)), "got shape (2, 5, 2)"),
    (lambda: plots.latent_scatter(codes() / 0), "z has 400 entries of 400 that are NaN or inf"),
    (lambda: plots.latent_scatter(codes(), dims=(0, 2)), "dims=(0, 2) lie outside the 2 dimens"),
    (lambda: plots.latent_scatter(codes(), dims=(0, -1)), "dims must be a whole number of at"),
    (lambda: plots.latent_scatter(codes(), dims=(0,)), "dims must name two dimensions of z"),
    (lambda: plots.latent_scatter(codes(), levels=(50,)), "levels are probabilities between 0"),
    (lambda: plots.latent_scatter(codes(), [1, 2]), "labels must be one for each of the 200 po"),
    (lambda: plots.latent_scatter(codes(), 1), "labels must be one for each of the 200 points"),
    (lambda: plots.latent_scatter(codes(), torch.eye(200)), "pass labels.argmax(-1)"),
    (lambda: plots.latent_scatter(codes(), [str(k) for k in range(200)]), "200 classes; at most"),
    (
        lambda: plots.latent_scatter(codes(), prior_log_prob=lambda p: p),
        "prior_log_prob must map points (58081, 2) to log densities (58081,)",
    ),
    (
        lambda: plots.latent_scatter(codes(), prior_log_prob=lambda p: p[:, 0] * math.nan),
        "58081 NaN",
    ),
    (
        lambda: plots.latent_scatter(codes(), prior_log_prob=lambda p: p[:, 0] * 0),
        "prior_log_prob is not the log of a density that falls off far from 0",
    ),
    (lambda: plots.kl_per_dimension([]), "kl must be (latent,) or (n, latent), got shape (0,)"),
    (lambda: plots.kl_per_dimension(torch.zeros(2, 2, 2)), "got shape (2, 2, 2)"),
    (lambda: plots.kl_per_dimension([0.1, math.nan]), "kl has 1 entries of 2 that are NaN or"),
]


@pytest.mark.parametrize(("draw", "message"), BAD)
def test_bad_input_is_one_clear_line_and_leaves_no_figure(draw, message):
    with pytest.raises(ValueError) as caught:
        draw()
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert plt.get_fignums() == []
