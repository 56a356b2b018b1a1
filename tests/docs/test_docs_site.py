"""The built site in a browser: mathematics, pictures, no errors, and nothing from another host.

``make docs`` first, or ``PYRO_VAE_SMOKE=1 make docs``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from plots.browser import CHROMIUM, DRIVER, Browser

BUILDS = [Path(__file__).parents[2] / "docs" / "_build" / name for name in ("html", "smoke")]
SITE = next((build for build in BUILDS if (build / "index.html").exists()), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver"),
    pytest.mark.skipif(SITE is None, reason="no site is built: make docs"),
]

#: What a page shows, once its mathematics is set.
SHOWN = """
return (window.MathJax ? MathJax.startup.promise : Promise.resolve()).then(() => ({
  formulas: document.querySelectorAll(".math").length,
  set: document.querySelectorAll(".math mjx-container").length,
  wrong: [...document.querySelectorAll("[data-mjx-error], mjx-merror, mjx-container [fill=red]")]
    .map(e => e.textContent),
  blank: [...document.images].filter(i => i.loading != "lazy" && !i.naturalWidth).map(i => i.src),
  silent: [...document.querySelectorAll("article img")].filter(i => !i.alt).map(i => i.src),
  from: performance.getEntriesByType("resource").map(e => e.name),
  wide: document.documentElement.scrollWidth - innerWidth,
}))
"""


@pytest.fixture(scope="module")
def window():
    with Browser() as window:
        yield window


@pytest.fixture
def browser(window):
    window.messages()  # of the page before
    return window


def pages():
    if SITE is None:
        return []
    found = (page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html"))
    return sorted(page for page in found if not page.startswith(("_modules/", "_static/")))


@pytest.mark.parametrize("page", pages())
@pytest.mark.parametrize("phone", [False, True], ids=["wide", "phone"])
def test_a_page_is_whole_and_needs_no_network(browser, page, phone):
    browser.screen(390 if phone else 1400, 900, mobile=phone)
    browser.open(SITE / page)
    shown = browser.run(SHOWN)
    assert shown["set"] == shown["formulas"] and not shown["wrong"]
    assert not shown["blank"] and not shown["silent"]
    assert all(name.startswith(("file:", "data:", "blob:")) for name in shown["from"])
    assert shown["wide"] <= 0, "the page scrolls sideways"
    assert browser.messages() == []


def test_the_search_finds_a_part_and_a_word_of_a_chapter(browser):
    browser.screen(1400, 900)
    for word, found in (("VampPrior", "api/priors.html"), ("Jensen", "tutorials/01_")):
        browser.call("/url", {"url": (SITE / "search.html").as_uri() + f"?q={word}"})
        links = browser.run(
            "return new Promise(done => setInterval(() => {"
            "const links = [...document.querySelectorAll('#search-results li a')].map(a => a.href);"
            "if (links.length) done(links)}, 100))"
        )
        assert any(found in link for link in links)


def test_the_latent_plane_answers_to_a_drag(browser):
    browser.screen(1400, 1000)
    browser.open(SITE / "explore.html")
    where = "const at = document.querySelector('{}').getBoundingClientRect();"
    where += "return [at.x, at.y, at.width, at.height]"
    across, down, *_ = browser.run(where.format("iframe"))
    browser.call("/frame", {"id": 0})
    left, top, width, height = browser.run(where.format("#plane"))
    seen = "return [document.querySelector('#image').toDataURL(),"
    seen += " document.querySelector('#where').textContent]"
    before = browser.run(seen)
    browser.call("/frame", {"id": None})
    x, y = across + left + width / 2, down + top + height / 2
    browser.drag((x, y), (x + 0.2 * width, y - 0.2 * height))
    browser.call("/frame", {"id": 0})
    after = browser.run(seen)
    assert before[0] != after[0] and before[1] != after[1]
    assert browser.messages() == []
