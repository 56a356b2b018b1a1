"""The page of a latent space holds the right images in the right places, and needs nothing else."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae import plots


def decode(z: torch.Tensor) -> torch.Tensor:
    """Images (n, 3, 4) in which every pixel depends on z in a way of its own."""
    weights = torch.linspace(-1, 1, 24, dtype=z.dtype).reshape(2, 12)
    return torch.sigmoid(z @ weights).reshape(-1, 3, 4)


def content(page: Path) -> dict[str, Any]:
    """What the page's script reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', read(page))
    found: dict[str, Any] = json.loads(text)
    return found


def read(page: Path) -> str:
    return page.read_text("utf-8")


def atlas(found: dict[str, Any]) -> np.ndarray:
    """The grid's images as (z[1], z[0], h, w, ...), z[1] upwards."""
    head, _, code = found["atlas"].partition(",")
    assert head == "data:image/png;base64"
    array = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))
    n, h, w = found["n"], found["height"], found["width"]
    return array.reshape(n, h, n, w, *array.shape[2:]).swapaxes(1, 2)[::-1]


@pytest.mark.parametrize("even", [True, False])
def test_each_image_of_the_grid_is_the_decoder_s_within_rounding(tmp_path, even):
    options: dict[str, Any] = {"box": ((-1, 2), (0, 5))} if even else {"icdf": torch.special.ndtri}
    page = plots.explorer(decode, tmp_path / "new" / "page.html", n=4, **options)
    found = content(page)
    if even:
        axes = [[-1, 0, 1, 2], [0, 5 / 3, 10 / 3, 5]]
    else:
        axes = [[NormalDist().inv_cdf((k + 0.5) / 4) for k in range(4)]] * 2
    np.testing.assert_allclose([found["z0"], found["z1"]], axes, atol=1e-6)
    z = torch.tensor([[[a, b] for a in axes[0]] for b in axes[1]])
    truth = decode(z.flatten(0, 1)).reshape(4, 4, 3, 4).numpy()
    assert np.abs(atlas(found) / 255 - truth).max() <= 0.5 / 255 + 1e-6


def test_the_page_needs_no_other_file_and_no_network(tmp_path):
    codes = torch.randn(20, 2)
    page = read(plots.explorer(decode, tmp_path / "page.html", z=codes, labels=codes[:, 0] > 0))
    assert not re.search(r"https?:|\b(?:src|href)=|@import|url\(|fetch\(|import\s*\(", page)
    assert not re.findall(r"@[a-z]+@", page)


def test_colour_images_and_colour_maps(tmp_path):
    def three(z: torch.Tensor) -> torch.Tensor:
        return torch.stack([decode(z), 1 - decode(z), decode(z) / 2], dim=1)

    found = content(plots.explorer(three, tmp_path / "page.html", n=3, box=((0, 1), (0, 1))))
    truth = three(torch.tensor([[0.5, 1.0]]))[0].movedim(0, -1).numpy()
    np.testing.assert_allclose(atlas(found)[2, 1] / 255, truth, atol=0.51 / 255)
    found = content(plots.explorer(decode, tmp_path / "page.html", n=3, cmap="viridis"))
    assert atlas(found).shape == (3, 3, 3, 4, 3)


def test_codes_lie_where_they_are_and_widen_the_default_box(tmp_path):
    z = torch.tensor([[0.0, 0.0], [5.0, -3.0], [-3.0, 3.0]])
    found = content(plots.explorer(decode, tmp_path / "page.html", z=z, labels=[7, 8, 7]))
    assert (found["z0"][0], found["z0"][-1], found["z1"][0], found["z1"][-1]) == (-3, 5, -3, 3)
    points = found["points"]
    seen = {
        (round(8 * x - 3, 2), round(6 * y - 3, 2), found["names"][kind])
        for x, y, kind in zip(points["x"], points["y"], points["kind"], strict=True)
    }
    assert seen == {(0.0, 0.0, "7"), (5.0, -3.0, "8"), (-3.0, 3.0, "7")}
    assert len(found["light"]) == len(found["dark"]) == 10


def test_codes_beyond_the_grid_are_counted_and_on_its_edge(tmp_path):
    z = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, -9.0]])
    page = plots.explorer(decode, tmp_path / "page.html", z=z, box=((-2, 2), (-2, 2)))
    assert "3 encoded examples; 2 lie beyond the plane and are shown on its edge." in read(page)
    points = content(page)["points"]
    assert sorted(zip(points["x"], points["y"], strict=True)) == [(0.5, 0), (0.5, 0.5), (1, 0.5)]


def test_a_quantity_keeps_its_values(tmp_path):
    z = torch.rand(30, 2)
    found = content(plots.explorer(decode, tmp_path / "page.html", z=z, labels=z[:, 0]))
    values = [float(text) for text in found["points"]["text"]]
    np.testing.assert_allclose(sorted(values), z[:, 0].sort().values, rtol=1e-3)
    assert "names" not in found and len(found["light"]) == len(found["dark"]) == 64
    # The shade grows with the value.
    kinds = np.array(found["points"]["kind"])[np.argsort(values)]
    assert kinds[0] == 0 and kinds[-1] == 63 and (np.diff(kinds) >= 0).all()


def test_no_title_and_no_label_can_end_the_script(tmp_path):
    nasty = "</script><script>alert(1)</script>@data@"
    page = plots.explorer(decode, tmp_path / "p.html", z=[[0, 0]], labels=[nasty], title=nasty)
    assert content(page)["names"] == [nasty]
    assert "alert(1)</script>" not in read(page)
    assert read(page).count(html.escape(nasty)) == 2


def test_the_worst_images_of_28_by_28_make_a_page_of_less_than_1_5_megabytes(tmp_path):
    def noise(z: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(z), 28, 28)

    page = plots.explorer(noise, tmp_path / "p.html", z=torch.randn(2000, 2), labels=[0, 1] * 1000)
    assert page.stat().st_size < 1.5e6


def test_the_page_says_what_is_interpolated(tmp_path):
    text = read(plots.explorer(decode, tmp_path / "p.html", n=13, box=((0, 3), (0, 6))))
    assert "asked at 13 × 13 points, 0.25 apart in z[0] and 0.5 in z[1]" in text
    assert "interpolated (bilinear)" in text
    text = read(plots.explorer(decode, tmp_path / "p.html", n=10, icdf=torch.special.ndtri))
    assert "1/10 of the prior&#x27;s probability apart" in text


def one(z: torch.Tensor) -> torch.Tensor:
    return torch.zeros(1, 8, 8)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"decode": one}, "decode returned 1 images for 625 points"),
    ({"n": 1}, "n must be a whole number of at least 2, got 1"),
    ({"file": "page.png"}, "file must end in .html, got page.png"),
    ({"z": torch.zeros(4, 3)}, "z must be (m, 2), codes in a latent space of 2-D, got (4, 3)"),
    ({"z": torch.zeros(0, 2)}, "z must be (m, 2), codes in a latent space of 2-D, got (0, 2)"),
    ({"z": [[0.0, float("nan")]]}, "z has 1 entries of 2 that are NaN or infinite"),
    ({"labels": [1]}, "labels are of codes: pass z as well"),
    ({"z": [[0, 0]], "labels": [1, 2]}, "labels must be one for each of the 1 points"),
    ({"box": ((0, 1), (2, 2))}, "box must be ((low, high), (low, high)) with low < high"),
    ({"box": (0, 1)}, "box must be ((low, high), (low, high)) with low < high"),
    ({"box": ((0, 1), (0, 1)), "icdf": torch.special.ndtri}, "pass one"),
    ({"icdf": lambda u: u[0]}, "icdf must map (25, 2) to (25, 2)"),
    ({"icdf": lambda u: 1 - u}, "growing along each column"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input_is_one_clear_line_and_leaves_no_file(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        plots.explorer(**{"decode": decode, "file": "page.html", **options})
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
