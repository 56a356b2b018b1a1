"""The site: pages, the executed chapters of the book, and the API from the docstrings."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from chapters import SMOKE  # noqa: E402

from pyro_vae import __version__  # noqa: E402

project = "pyro_vae"
author = "The pyro_vae maintainers"
version = release = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "book",
    "parts",
    "graphs",
    "explorer",
]
exclude_patterns = ["_build", "_ext", "_static", "locale"]

# Pages. The chapters are executed by _ext/book.py, which also gives them their downloads.
nb_execution_mode = "off"
nb_output_stderr = "warn"  # a warning on a page is a mistake in its chapter
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# API
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False  # a `forward` that its base describes is not told again
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_exclude = ".linenos, .gp, .go"  # a doctest is copied without its prompts

# Appearance. Nothing comes from another host, so the site works without a network.
html_theme = "furo"
html_title = "pyro_vae"
html_static_path = ["_static"]
html_extra_path = ["_build/extra"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5cad", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#7cb8f0", "color-brand-content": "#7cb8f0"},
}
if SMOKE:
    html_theme_options["announcement"] = "A quick build: its figures mean nothing."
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}}

# Translations: `make docs-gettext`, then `make docs TRANSLATION=pt_BR`.
locale_dirs = ["locale"]
gettext_compact = False
gettext_uuid = False
