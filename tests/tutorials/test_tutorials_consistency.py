"""The chapters make one book: one spelling, one notation, nothing said twice, names that exist."""

from __future__ import annotations

import importlib
import re
from itertools import combinations
from pathlib import Path

import pytest

from pyro_vae.cli.chapters import cells

CHAPTERS = sorted((Path(__file__).parents[2] / "tutorials").glob("[0-9][0-9]_*.py"))
AMERICAN = re.compile(
    r"\b(behavior|center(s|ed)?|color(s|ed)?|gray|favor\w*|neighbor\w*|model(ing|ed)|label(ing|ed)"
    r"|reparameteriz\w+|amortiz\w+|optimiz\w+|maximiz\w+|minimiz\w+|normaliz\w+|regulariz\w+"
    r"|initializ\w+|discretiz\w+|quantiz\w+)\b",
    re.IGNORECASE,
)
#: What may be spelt otherwise: formulas, code, the targets of links, and titles in italics.
QUOTED = [r"\$\$.+?\$\$|\$[^$]+\$", r"`[^`]*`", r"\]\([^)]*\)", r"\*\*", r"\*[^*]+\*"]
#: Notation of docs/design.md that is written one way.
NOTATION = {
    r"(?<!\\mathrm\{)(?<!\\mathrm )\bKL\s*(\\big)?[(\[]": "the divergence is \\mathrm{KL}",
    r"(?<!\\mathrm\{)\bELBO\b": "the bound is \\mathrm{ELBO}",
    r"\\mathbf\{?[xz]\b": "x and z are not bold",
    r"(?<!\\mathbb )(?<!\\mathbb\{)\bE_\{?[pqxz]\b": "an expectation is \\mathbb E",
}


def prose(script: str) -> str:
    return "\n\n".join(cell.text for cell in cells(script) if cell.markdown)


def formulas(script: str) -> list[str]:
    """Displayed and inline, without their dollars."""
    found = re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", prose(script), re.DOTALL)
    return [display or inline for display, inline in found]


def american(script: str) -> list[str]:
    text = prose(script)
    for quoted in QUOTED:
        text = re.sub(quoted, " ", text, flags=re.DOTALL)
    return [match[0] for match in AMERICAN.finditer(text)]


def other_notation(script: str) -> list[str]:
    """Formulas that say a thing in another way than the rest of the book."""
    plain = [re.sub(r"\\(text|label)\{[^}]*\}", "", formula) for formula in formulas(script)]
    return [said for rule, said in NOTATION.items() if any(re.search(rule, f) for f in plain)]


def missing_names(script: str) -> list[str]:
    """What a role refers to, and Python does not find."""
    roles = re.findall(r"\{py:\w+\}`([^`]+)`", prose(script))
    return [name for name in roles if not exists(name.strip("~"))]


def exists(name: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            owner = getattr(owner, part, None)
        return owner is not None
    return False


def said_twice(one: str, other: str) -> list[str]:
    """Headings that two chapters share, and paragraphs of which one repeats half or more."""
    heads = [set(re.findall(r"^## (.+)$", prose(script), re.MULTILINE)) for script in (one, other)]
    shared = sorted((heads[0] & heads[1]) - {"Exercises", "Sources"})
    there = runs(prose(other))
    for paragraph in prose(one).split("\n\n"):
        here = runs(paragraph)
        if len(here) > 15 and len(here & there) > len(here) / 2:
            shared.append(paragraph)
    return shared


def runs(text: str) -> set[tuple[str, ...]]:
    """All runs of four words."""
    words = text.split()
    return set(zip(words, words[1:], words[2:], words[3:], strict=False))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_one_spelling_one_notation_names_that_exist(path):
    script = path.read_text("utf-8")
    assert american(script) == []
    assert other_notation(script) == []
    assert missing_names(script) == []


def test_nothing_is_said_twice():
    scripts = {path.stem: path.read_text("utf-8") for path in CHAPTERS}
    twice = {
        (one, other): found
        for one, other in combinations(scripts, 2)
        if (found := said_twice(scripts[one], scripts[other]))
    }
    assert twice == {}


PARAGRAPH = (
    "When $q$ is the posterior, each weight is the evidence of its example, whatever was sampled, "
    "so that the spread of the weights tells how far a guide is from the truth."
)


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("The behavior of $q$.", american),
        ("We optimized it.", american),
        ("It is $KL(q \\,\\|\\, p)$.", other_notation),
        ("It is $\\log p(x) - ELBO$.", other_notation),
        ("It is $E_q[\\log w]$.", other_notation),
        ("See {py:func}`pyro_vae.nothing`.", missing_names),
        ("See {py:class}`pyro_vae.priors.Nothing`.", missing_names),
    ],
)
def test_each_fault_is_seen(text, check):
    assert len(check(f"# %% [markdown]\n# {text}\n")) == 1


def test_what_is_right_passes():
    text = (
        "# %% [markdown]\n# ## A heading\n#\n# Optimised $\\mathrm{KL}(q \\,\\|\\, p)$, "
        "$\\mathbb E_q[\\log w]$, *Normalizing Flows*, {py:class}`pyro_vae.priors.VampPrior`.\n"
    )
    assert american(text) == other_notation(text) == missing_names(text) == []


def test_what_is_said_twice_is_seen():
    one = f"# %% [markdown]\n# ## A heading\n#\n# {PARAGRAPH}\n"
    other = one.replace("whatever", "no matter what")
    assert len(said_twice(one, other)) == 2
    assert said_twice(one, "# %% [markdown]\n# Another thing.\n") == []
