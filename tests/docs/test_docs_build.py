"""The site is built from what the chapters do: a claim that fails breaks it."""

from __future__ import annotations

import json

import pytest
from docs.small_site import CHAPTER, Site

for module in ("myst_nb", "jupytext", "furo", "sphinx_design", "sphinx_copybutton"):
    pytest.importorskip(module)

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_chapter_is_a_page_a_card_and_a_notebook(site):
    built = site.build()
    assert built.returncode == 0, built.stderr
    page = site.page("tutorials/01_sums")
    assert "one and one is 2" in page and 'alt="A line that rises"' in page
    assert 'href="../index.html#pyro_vae.fit"' in page
    assert "1. One and one" in site.page("index") and "It is two." in site.page("index")
    notebook = json.loads((site.pages / "notebooks" / "01_sums.ipynb").read_text("utf-8"))
    text = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert "How much is it? `pyro_vae.fit` does not say." in text[0]
    assert text[1].endswith("%pip install -q pyro-vae")
    assert any("one and one is 2" in str(cell.get("outputs")) for cell in notebook["cells"])


def test_a_failing_claim_breaks_the_build_and_is_named(site):
    site.write(site.chapter, CHAPTER.replace("== 2", "== 3"))
    built = site.build()
    assert built.returncode != 0
    assert "01_sums.py fails" in built.stderr and "assert 1 + 1 == 3" in built.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("pyro_vae.fit", "pyro_vae.fits", "the site has no pyro_vae.fits"),
        ("How much is it?", "See [chapter 2](02_more.py).", "02_more.ipynb"),
        ('"one and one is"', '"one"); import sys; print("spilt", file=sys.stderr', "stderr"),
        (' tags=["thumbnail"]', "", "no cell with a picture is tagged `thumbnail`"),
    ],
)
def test_what_a_reader_would_stumble_over_breaks_the_build(site, right, wrong, complaint):
    assert right in CHAPTER
    site.write(site.chapter, CHAPTER.replace(right, wrong))
    built = site.build()
    assert built.returncode != 0 and complaint in built.stderr


def test_prose_may_change_without_another_run_and_the_package_may_not(site):
    def ran():
        built = site.build()
        assert built.returncode == 0, built.stderr
        return "ran 01_sums.py" in built.stdout

    assert ran()
    site.write(site.chapter, CHAPTER.replace("How much", "How little"))
    assert not ran() and "How little is it?" in site.page("tutorials/01_sums")
    assert "one and one is 2" in site.page("tutorials/01_sums")
    site.write(site.docs.parent / "pyro_vae" / "part.py", "WEIGHT = 2\n")
    assert ran()


def test_a_translation_needs_no_change_of_the_sources(site):
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    fit = "{py:func}`pyro_vae.fit`"
    for page, english, portuguese in (
        ("index", "A paragraph to translate.", "Um parágrafo traduzido."),
        ("tutorials/01_sums", f"How much is it? {fit} does not say.", f"Quanto é? {fit} não diz."),
    ):
        pair = f'msgid "{english}"\nmsgstr "{portuguese}"\n'
        site.write(site.docs / f"locale/pt_BR/LC_MESSAGES/{page}.po", header + pair)
    built = site.build("-D", "language=pt_BR")
    assert built.returncode == 0, built.stderr
    assert "Um parágrafo traduzido." in site.page("index")
    chapter = site.page("tutorials/01_sums")
    assert (
        "Quanto é? <a class=" in chapter and "não diz." in chapter and "one and one is 2" in chapter
    )


def test_what_there_is_to_translate_needs_no_run(site):
    built = site.build("-b", "gettext")
    assert built.returncode == 0, built.stderr
    assert "running" not in built.stdout
    words = (site.pages / "tutorials" / "01_sums.pot").read_text("utf-8")
    assert 'msgid "1. One and one"' in words and "How much is it?" in words
