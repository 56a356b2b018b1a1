"""The page of a latent space in headless Chromium: it answers to mouse, touch and keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plots.browser import CHROMIUM, DRIVER, Browser

from pyro_vae import plots

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]
IMAGE = """
const seen = document.getElementById("image");
const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
copy.drawImage(seen, 0, 0);
const pixels = copy.getImageData(0, 0, seen.width, seen.height).data;
return [...pixels].filter((value, k) => k % 4 === 0);
"""
BOX = """
const box = document.getElementById("ground").getBoundingClientRect();
return [box.x, box.y, box.width];
"""
SHIFT, RIGHT, UP = "\ue008", "\ue014", "\ue013"


def decode(z: torch.Tensor) -> torch.Tensor:
    weights = torch.linspace(-2, 2, 24, dtype=z.dtype).reshape(2, 12)
    return torch.sin(z @ weights).square().reshape(-1, 3, 4)


def expected(z0: float, z1: float) -> np.ndarray:
    """Bilinear in a grid of step 1 from -2 to 2, of images rounded to 8 bits."""
    i, j = (min(int(np.floor(v)), 1) for v in (z0, z1))
    a, b = z0 - i, z1 - j
    corners = torch.tensor([[i, j], [i + 1, j], [i, j + 1], [i + 1, j + 1]], dtype=torch.float32)
    shares = np.array([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    return np.round(255 * decode(corners).numpy().reshape(4, 12)).T @ shares


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(params=["wide", "phone"])
def page(request, browser, tmp_path) -> Iterator[tuple[Browser, Any]]:
    """The page in a window, and the places of latent points in it."""
    phone = request.param == "phone"
    codes = torch.tensor([[-1.5, 1.5], [1.5, -1.5]])
    box = ((-2, 2), (-2, 2))
    file = plots.explorer(decode, tmp_path / "p.html", n=5, box=box, z=codes, labels=["ant", "bee"])
    browser.screen(*((390, 844) if phone else (1200, 900)), dark=phone, mobile=phone)
    opened(browser, file)
    x, y, side = browser.run(BOX)

    def place(z0: float, z1: float) -> tuple[float, float]:
        # 38 pixels are left of the plane's ground, 34 below, 8 on the other sides.
        return x + 38 + (z0 + 2) / 4 * (side - 46), y + 8 + (2 - z1) / 4 * (side - 42)

    yield browser, place
    assert browser.messages() == []


def opened(browser: Browser, file: Path) -> None:
    browser.open(file)
    end = time.monotonic() + 20
    while browser.run("return document.documentElement.dataset.ready") != "yes":
        assert time.monotonic() < end
        time.sleep(0.05)


def where(browser: Browser) -> tuple[float, float]:
    text = browser.run('return document.getElementById("where").textContent')
    a, b = text.replace("\N{MINUS SIGN}", "-").removeprefix("z = (").removesuffix(")").split(", ")
    return float(a), float(b)


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_dragging_shows_the_interpolated_image(page, kind):
    browser, place = page
    start = browser.run(IMAGE)
    np.testing.assert_allclose(start, expected(0.0, 0.0), atol=1)
    for target in [(-0.7, 1.3), (1.6, -0.4), (2.0, 2.0)]:
        browser.drag(place(0.0, 0.0), place(0.3, 0.4), place(*target), kind=kind)
        # Half a pixel on a plane of 300 pixels for 4 units.
        assert where(browser) == pytest.approx(target, abs=0.02)
        seen = browser.run(IMAGE)
        assert np.abs(np.array(seen) - start).max() > 20
        # An image changes by at most 255 * 4 levels a unit: z is known to 0.005 in either.
        np.testing.assert_allclose(seen, expected(*where(browser)), atol=1 + 255 * 4 * 0.01)


def test_a_drag_beyond_the_plane_ends_at_its_edge(page):
    browser, place = page
    browser.drag(place(0, 0), place(2.1, 0.0))
    assert where(browser) == pytest.approx((2.0, 0.0), abs=0.02)


def test_arrow_keys_move_the_point_and_the_checkbox_holds_it_to_the_grid(page):
    browser, _ = page
    browser.run('document.getElementById("plane").focus()')
    for _ in range(10):
        browser.press(RIGHT)
    browser.press(SHIFT, UP)
    assert where(browser) == pytest.approx((0.4, 0.2))
    browser.run(
        'document.getElementById("exact").click(); document.getElementById("plane").focus()'
    )
    assert where(browser) == (0.0, 0.0)
    browser.press(RIGHT)
    assert where(browser) == (1.0, 0.0)
    np.testing.assert_allclose(browser.run(IMAGE), expected(1.0, 0.0), atol=0.5)


def test_a_code_tells_its_label(page):
    browser, place = page
    tip = 'const t = document.getElementById("tip"); return t.hidden ? "" : t.textContent'
    for target, label in [((-1.5, 1.5), "label ant"), ((1.5, -1.5), "label bee"), ((0, 0), "")]:
        browser.drag(place(*target))
        assert browser.run(tip) == label


def test_a_label_pressed_is_seen_alone(page):
    browser, place = page
    pressed = 'return [...document.querySelectorAll("#legend button")].map(b => b.ariaPressed)'
    assert browser.run(pressed) == ["false", "false"]
    browser.run('document.querySelectorAll("#legend button")[1].click()')
    assert browser.run(pressed) == ["false", "true"]
    browser.drag(place(-1.5, 1.5))
    assert browser.run('return document.getElementById("tip").hidden')


def test_nothing_is_cut_off(page):
    browser, _ = page
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
