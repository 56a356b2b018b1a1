"""What every chapter must keep to, as functions from its text to a list of complaints."""

from __future__ import annotations

import ast
import importlib
import re
from types import ModuleType
from typing import Any

from test_imports import private_imports

from pyro_vae.cli.chapters import Cell, cells

#: What a Markdown cell may hold numbers in: formulas, code, links, roles.
EXEMPT = re.compile(
    r"\$\$.*?\$\$|\$.*?\$|```.*?```|`[^`]*`|!?\[[^]]*\]\([^)]*\)|<?https?://\S+", re.DOTALL
)
MEASURED = re.compile(r"\d+\.\d+|\d[\d.]*\s?%")


def complaints(script: str, number: int) -> list[str]:
    """Everything that is wrong with a chapter, with its line."""
    found = cells(script)
    return [
        *titled(found, number),
        *exercised(found),
        *asserted(found),
        *pictured(found),
        *typed_figures(found),
        *private(code_of(found)),
    ]


def code_of(found: list[Cell]) -> str:
    """The code cells, without lines that only a notebook understands."""
    return "\n".join(cell.text for cell in found if not cell.markdown)


def headings(found: list[Cell]) -> list[tuple[int, str]]:
    """Level and text of every heading, in order."""
    lines = [line for cell in found if cell.markdown for line in cell.text.splitlines()]
    marks = [re.fullmatch(r"(#+) (.+)", line) for line in lines]
    return [(len(mark[1]), mark[2]) for mark in marks if mark]


def titled(found: list[Cell], number: int) -> list[str]:
    """One heading of level 1, first of all, with the number of the file, and what one will see."""
    first = found[0].text.splitlines()[0] if found and found[0].markdown else ""
    top = [text for level, text in headings(found) if level == 1]
    if not first.startswith(f"# {number}. ") or len(top) != 1:
        return [f"the first cell must begin `# {number}. Title`, the one heading of level 1"]
    # `pyro-vae tutorial list` shows its first item.
    listed = re.search(r"^You will see\n\n1\. ", found[0].text, re.MULTILINE)
    return [] if listed else ["the first cell must have a list `You will see`"]


def exercised(found: list[Cell]) -> list[str]:
    """Exercises at the end; nothing but sources may follow them."""
    sections = [text for level, text in headings(found) if level == 2]
    if sections and "Exercises" in (sections[-1], *sections[-2:-1]):
        return [] if sections[-1] in ("Exercises", "Sources") else [_LAST]
    return [_LAST]


_LAST = "the last section must be `## Exercises`, or `## Sources` after it"


def asserted(found: list[Cell]) -> list[str]:
    """At least one claim about something that the chapter computed."""
    claims = [node for node in ast.walk(ast.parse(code_of(found))) if isinstance(node, ast.Assert)]
    parts = [node for claim in claims for node in ast.walk(claim.test)]
    if any(isinstance(node, ast.Name) and node.id != "SMOKE" for node in parts):
        return []
    return ["no `assert` on anything measured"]


def pictured(found: list[Cell]) -> list[str]:
    """One picture for the gallery."""
    tagged = [cell for cell in found if "thumbnail" in cell.tags]
    if len(tagged) == 1 and not tagged[0].markdown:
        return []
    return [f"{len(tagged)} cells are tagged `thumbnail`; it takes one code cell"]


def typed_figures(found: list[Cell]) -> list[str]:
    """No measured figure in prose: cells print them, so that they are never out of date."""
    wrong = []
    for cell in found:
        if cell.markdown:
            prose = EXEMPT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), cell.text)
            for line, text in enumerate(prose.splitlines(), cell.line + 1):
                wrong += [
                    f"line {line}: {figure[0]!r} is typed in prose: print it"
                    for figure in MEASURED.finditer(text)
                ]
    return wrong


def private(code: str) -> list[str]:
    """Names of ours that no ``__all__`` offers, and underscored attributes of anything."""
    wrong = [f"{name} is not public" for name in private_imports(code)]
    tree = ast.parse(code)
    ours = {} if wrong else imported_modules(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        shown, owner = ast.unparse(node), resolved(node.value, ours)
        ours_hidden = isinstance(owner, ModuleType) and node.attr not in offered(owner)
        underscored = node.attr.startswith("_") and not node.attr.endswith("__")
        if ours_hidden or (underscored and ast.unparse(node.value) != "self"):
            wrong.append(f"{shown} is not public")
    return wrong


def offered(module: ModuleType) -> list[str]:
    return getattr(module, "__all__", None) or [name for name in vars(module) if name[0] != "_"]


def imported_modules(tree: ast.AST) -> dict[str, Any]:
    """What the chapter's names that it imports from us stand for."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pyro_vae":
            module = importlib.import_module(node.module or "")
            found |= {
                alias.asname or alias.name: getattr(module, alias.name) for alias in node.names
            }
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "pyro_vae":
                    name = alias.name if alias.asname else "pyro_vae"
                    found[alias.asname or "pyro_vae"] = importlib.import_module(name)
    return found


def resolved(node: ast.expr, ours: dict[str, Any]) -> Any:
    """The module of ours that an expression is, if it is one."""
    if isinstance(node, ast.Name):
        return ours.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolved(node.value, ours)
        return getattr(owner, node.attr, None) if isinstance(owner, ModuleType) else None
    return None
