"""A copy of the site's machinery with one small chapter, to be built and broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
EXTENSIONS = "myst_nb,sphinx.ext.mathjax,sphinx_copybutton,sphinx_design,book,parts"

CHAPTER = """\
# %% [markdown]
# # 1. One and one
#
# How much is it? {py:func}`pyro_vae.fit` does not say.
#
# You will see
#
# 1. that it is two,
# 2. a line.

# %% tags=["thumbnail"] mystnb={"image": {"alt": "A line that rises"}}
import matplotlib.pyplot as plt

_ = plt.plot([1, 2])
print("one and one is", 1 + 1)

# %%
assert 1 + 1 == 2
"""

INDEX = """\
# A small site

A paragraph to translate.

```{chapters} 1 9
```

```{toctree}
tutorials/01_sums
```

```{py:function} pyro_vae.fit(model, guide)
```
"""


class Site:
    """The copy, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.docs = folder / "docs"
        self.pages = folder / "pages"
        self.chapter = folder / "tutorials" / "01_sums.py"
        shutil.copytree(DOCS / "_ext", self.docs / "_ext")
        shutil.copy(DOCS / "conf.py", self.docs / "conf.py")
        self.write(folder / "pyro_vae" / "part.py", "WEIGHT = 1\n")
        self.write(self.docs / "_static" / "site.css", "")
        self.write(self.docs / "index.md", INDEX)
        self.write(self.chapter, CHAPTER)

    def write(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def build(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Warnings are errors, as in ``make docs``."""
        settings = ["-W", "-D", f"extensions={EXTENSIONS}", *options]
        command = [sys.executable, "-P", "-m", "sphinx", *settings, self.docs, self.pages]
        outside = {k: v for k, v in os.environ.items() if k != "GITHUB_REPOSITORY"}
        return subprocess.run(
            command, capture_output=True, text=True, env=outside, cwd=self.docs.parent, timeout=300
        )

    def page(self, name: str) -> str:
        return (self.pages / f"{name}.html").read_text("utf-8")
