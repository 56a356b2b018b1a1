"""The decoder is asked at the right points, and each answer is drawn in the right place."""

from __future__ import annotations

from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from pyro_vae import plots


class Recorder:
    """A decoder that keeps what it was asked and paints each point in one level of grey."""

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        self.z, self.grad = z, torch.is_grad_enabled()
        level = torch.arange(len(z), dtype=torch.float64) / len(z)
        return level.reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28)


def quantiles(n: int) -> np.ndarray:
    """The standard normal's, at the midpoints of n equal shares."""
    return np.array([NormalDist().inv_cdf((k + 0.5) / n) for k in range(n)])


def centres(ax, rows: int, columns: int, step: int) -> np.ndarray:
    """The grey level in the middle of every cell."""
    picture = np.asarray(ax.images[0].get_array())
    return picture[14 + step * np.arange(rows)][:, 14 + step * np.arange(columns), 0]


def texts(labels) -> list[str]:
    return [label.get_text() for label in labels]


def test_manifold_asks_at_the_quantiles_and_draws_z1_upwards():
    decode = Recorder()
    ax = plots.manifold(decode, n=3)
    quantile = quantiles(3)
    expected = [[a, b] for b in quantile[::-1] for a in quantile]
    np.testing.assert_allclose(decode.z, expected, atol=1e-6)
    assert not decode.grad and decode.z.dtype == torch.float32
    # Cell by cell in the order of the points: the first row of the picture has the largest z[1].
    np.testing.assert_allclose(centres(ax, 3, 3, 28), np.arange(9).reshape(3, 3) / 9)
    assert np.asarray(ax.images[0].get_array()).shape == (84, 84, 3)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z[0]", "z[1]")


def test_manifold_ticks_stand_where_their_values_are():
    n = 41
    ax = plots.manifold(Recorder(), n=n, dtype=torch.float64)
    quantile = quantiles(n)
    middle = 13.5 + 28 * np.arange(n)
    for axis, positions in ((ax.xaxis, middle), (ax.yaxis, middle[::-1])):
        names = texts(axis.get_ticklabels())
        values = [float(name.replace("\N{MINUS SIGN}", "-")) for name in names]
        assert values == sorted(values) and 0.0 in values and len(values) >= 5
        np.testing.assert_allclose(axis.get_ticklocs(), np.interp(values, quantile, positions))


def test_manifold_of_another_prior_and_of_one_cell():
    decode = Recorder()
    prior = torch.distributions.Laplace(torch.tensor([0.0, 10.0]), torch.tensor([1.0, 2.0]))
    plots.manifold(decode, n=2, icdf=prior.icdf)
    # Laplace quantile at 1/4 and 3/4: loc -+ scale log 2.
    a, b = np.log(2), 2 * np.log(2)
    expected = [[-a, 10 + b], [a, 10 + b], [-a, 10 - b], [a, 10 - b]]
    np.testing.assert_allclose(decode.z, expected, atol=1e-6)
    ax = plots.manifold(decode, n=1, dtype=torch.float64)
    assert decode.z.tolist() == [[0.0, 0.0]] and decode.z.dtype == torch.float64
    assert texts(ax.get_xticklabels()) == ["0"]


def test_traversals_vary_one_dimension_a_row():
    decode = Recorder()
    z = torch.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True)
    ax = plots.traversals(decode, z, dims=[2, 0], span=2.0, steps=5)
    expected = z.detach().repeat(2, 5, 1)
    expected[0, :, 2] = expected[1, :, 0] = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert torch.equal(decode.z, expected.reshape(10, 4))
    assert not decode.grad and z.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(centres(ax, 2, 5, 29), np.arange(10).reshape(2, 5) / 10)
    assert texts(ax.get_yticklabels()) == ["z[2]", "z[0]"]
    assert texts(ax.get_xticklabels()) == ["\N{MINUS SIGN}2", "\N{MINUS SIGN}1", "0", "1", "2"]


@pytest.mark.parametrize(("latent", "rows"), [(2, 2), (64, 10)])
def test_traversals_default_to_the_first_ten_dimensions(latent, rows):
    decode = Recorder()
    ax = plots.traversals(decode, torch.zeros(1, latent, dtype=torch.float64))
    assert decode.z.shape == (rows * 9, latent) and decode.z.dtype == torch.float64
    assert texts(ax.get_yticklabels()) == [f"z[{d}]" for d in range(rows)]
    assert texts(ax.get_xticklabels())[:2] == ["\N{MINUS SIGN}3", "\N{MINUS SIGN}2.25"]


def test_traversals_take_dims_as_a_tensor_or_a_number_and_z_as_a_list():
    kl = torch.tensor([0.1, 3.0, 2.0])
    ax = plots.traversals(Recorder(), [0, 0, 0], dims=kl.argsort(descending=True)[:2])
    assert texts(ax.get_yticklabels()) == ["z[1]", "z[2]"]
    assert texts(plots.traversals(Recorder(), [0, 0], dims=1).get_yticklabels()) == ["z[1]"]


def test_features_need_a_shape_here_too():
    def flat(z):
        return torch.zeros(len(z), 12)

    assert plots.manifold(flat, n=2, shape=(3, 4)).images
    for draw in (lambda: plots.manifold(flat), lambda: plots.traversals(flat, torch.zeros(2))):
        with pytest.raises(ValueError, match=r"decode\(z\) of shape .* has 12 features"):
            draw()


def one(z):
    return torch.zeros(1, 8, 8)


BAD = [
    (lambda: plots.manifold(one, n=2), "decode returned 1 images for 4 points"),
    (lambda: plots.manifold(one, n=0), "n must be a whole number of at least 1, got 0"),
    (lambda: plots.manifold(one, icdf=lambda u: u[0]), "icdf must map (20, 2) to (20, 2), ret"),
    (lambda: plots.manifold(one, icdf=lambda u: u / 0), "icdf's values has 40 entries of 40"),
    (lambda: plots.traversals(one, torch.zeros(3)), "decode returned 1 images for 27 points"),
    (lambda: plots.traversals(one, torch.zeros(2, 3)), "z must be one latent vector (latent,)"),
    (lambda: plots.traversals(one, torch.zeros(3), dims=[3]), "dims must name dimensions 0 to 2"),
    (lambda: plots.traversals(one, torch.zeros(3), dims=[]), "dims must name dimensions 0 to 2"),
    (lambda: plots.traversals(one, torch.zeros(3), dims=[-1]), "dims must be a whole number"),
    (lambda: plots.traversals(one, torch.zeros(3), steps=1), "steps must be a whole number"),
    (lambda: plots.traversals(one, torch.zeros(3), span=0), "span must be positive and finite"),
]


@pytest.mark.parametrize(("draw", "message"), BAD)
def test_bad_input_is_one_clear_line_and_leaves_no_figure(draw, message):
    with pytest.raises(ValueError) as caught:
        draw()
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert plt.get_fignums() == []
