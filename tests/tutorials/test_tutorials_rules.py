"""Chapters keep to the rules, and each rule sees a chapter that breaks it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tutorials.chapter_rules import complaints

CHAPTERS = sorted((Path(__file__).parents[2] / "tutorials").glob("*.py"))

GOOD = """\
# %% [markdown]
# # 7. A chapter
#
# It says $a = 1.5$, `b = 2.5`, [a link of 3.5](https://example.org/4.5), 1e-3 and 12 epochs.
#
# You will see
#
# 1. this.

# %% tags=["remove-cell"]
import os

# %%
import pyro_vae
from pyro_vae import plots, priors
from pyro_vae.programs import vae

prior = priors.StandardNormal(2)
model = vae.Model

# %% tags=["thumbnail"] mystnb={"image": {"alt": "one"}}
value = prior().mean.sum()
assert value == 0, "told"

# %% [markdown]
# ## Exercises
#
# 1. Do.
#
# ## Sources
#
# Somebody 2014, *A Title*.
"""

#: What a bad chapter has in place of what a good one has, and what is said of it.
BREAKS = [
    ("# # 7. A chapter", "# # 8. A chapter", "must begin `# 7. Title`"),
    ("# # 7. A chapter", "# ## 7. A chapter", "must begin `# 7. Title`"),
    ("# %% [markdown]\n# # 7", "# %%\nx = 1\n\n# %% [markdown]\n# # 7", "must begin `# 7. Title`"),
    ("# It says", "# # More\n#\n# It says", "the one heading of level 1"),
    ("# You will see", "# You see", "must have a list `You will see`"),
    ("# ## Exercises", "# ## Questions", "the last section must be `## Exercises`"),
    ("# ## Sources", "# ## More", "the last section must be `## Exercises`"),
    ("assert value == 0", "print(value == 0)", "no `assert`"),
    ("assert value == 0", "assert True", "no `assert`"),
    ("assert value == 0", "assert SMOKE or 1", "no `assert`"),
    ('tags=["thumbnail"]', "", "0 cells are tagged `thumbnail`"),
    ('tags=["remove-cell"]', 'tags=["thumbnail"]', "2 cells are tagged `thumbnail`"),
    ("12 epochs", "86.76", "line 4: '86.76' is typed in prose"),
    ("12 epochs", "a share of 95 %", "line 4: '95 %' is typed in prose"),
    ("import plots, priors", "import plots, priors, cli", "pyro_vae.cli is not public"),
    ("programs import vae", "programs.registration import Program", "registration"),
    ("model = vae.Model", "model = plots._style", "plots._style is not public"),
    ("model = vae.Model", "model = plots.grids", "plots.grids is not public"),
    ("model = vae.Model", "model = pyro_vae.priors.base", "pyro_vae.priors.base is not public"),
    ("model = vae.Model", "model = prior._parameters", "prior._parameters is not public"),
]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_keeps_to_the_rules(path):
    assert complaints(path.read_text("utf-8"), int(path.name[:2])) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_links_between_chapters_lead_somewhere(path):
    links = re.findall(r"\]\((\d\d_\w+\.py)", path.read_text("utf-8"))
    assert [link for link in links if not path.with_name(link).exists()] == []


def test_a_good_chapter_passes():
    assert complaints(GOOD, 7) == []


@pytest.mark.parametrize(("good", "bad", "said"), BREAKS)
def test_a_broken_rule_is_seen(good, bad, said):
    assert good in GOOD
    (complaint,) = complaints(GOOD.replace(good, bad, 1), 7)
    assert said in complaint
