"""The directive ``parts``: a folder of the package as a table, a line a part, then each in full.

::

    .. parts:: pyro_vae.priors

What a folder offers is its ``__all__``. A reference to something of the package that the site does
not have is a warning, so that a page cannot point into the void.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from types import ModuleType
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import pyro_vae

log = logging.getLogger(__name__)


def purpose(part: Any, name: str, package: ModuleType) -> str:
    """The first sentence of a part's docstring, with its markup; of data, the ``#:`` comment."""
    if _file(part):
        text = " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())
        return re.split(r"(?<=[^.]\.)\s", text)[0].rstrip(":")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        comments = ModuleAnalyzer.for_module(module.name).find_attr_docs()
        if ("", name) in comments:
            return " ".join(comments["", name]).strip()
    raise ExtensionError(f"{package.__name__}.{name} has no `#:` comment that says what it is")


def _file(part: Any) -> str | None:
    """Where a part is written; ``None`` for data."""
    return inspect.getsourcefile(part) if inspect.ismodule(part) or callable(part) else None


def members(package: ModuleType) -> dict[str, Any]:
    """What a folder offers; families of programs, which are modules, come first."""
    named = {name: getattr(package, name) for name in package.__all__}
    return dict(sorted(named.items(), key=lambda item: not inspect.ismodule(item[1])))


class Parts(SphinxDirective):
    """See the module."""

    required_arguments = 1
    option_spec: ClassVar = {"exclude": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        package = importlib.import_module(self.arguments[0])
        excluded = self.options.get("exclude", "").split()
        parts = {name: p for name, p in members(package).items() if name not in excluded}
        lines = [f".. py:module:: {package.__name__}", ""]
        told = {name: purpose(part, name, package) for name, part in parts.items()}
        lines += _table(package.__name__, parts, told)
        for name, part in parts.items():
            lines += _entry(f"{package.__name__}.{name}", part, told[name])
            self.env.note_dependency(_file(part) or str(package.__file__))
        parent = nodes.section()
        parent.document = self.state.document
        self.state.nested_parse(
            StringList(lines, source=self.arguments[0]), 0, parent, match_titles=True
        )
        return parent.children


def _table(package: str, parts: dict[str, Any], told: dict[str, str]) -> list[str]:
    lines = [".. list-table::", "   :widths: 30 70", "   :class: parts", ""]
    for name, part in parts.items():
        role = "mod" if inspect.ismodule(part) else "obj"
        lines += [f"   * - :py:{role}:`~{package}.{name}`", f"     - {told[name]}"]
    return [*lines, ""]


def _entry(path: str, part: Any, told: str) -> list[str]:
    if not _file(part):
        name = path.rpartition(".")[2]  # the module is known from the directive above
        return [f".. py:data:: {name}", "", f"   {told}", ""]
    if inspect.ismodule(part):
        name = path.rpartition(".")[2]
        return [name, "^" * len(name), "", f".. automodule:: {path}", ""]
    if inspect.isclass(part):
        kind = "autoexception" if issubclass(part, BaseException) else "autoclass"
    else:
        kind = "autofunction"
    return [f".. {kind}:: {path}", ""]


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element
) -> nodes.Element | None:
    """A reference to where something is written leads to the folder that offers it."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("pyro_vae."):
        return None
    path, _, name = target.rpartition(".")
    if path == "pyro_vae":  # what is offered at the top, too
        path = getattr(getattr(pyro_vae, name, None), "__module__", path)
    domain = env.get_domain("py")
    for folder in (".".join(path.split(".")[:2]), "pyro_vae"):
        if f"{folder}.{name}" != target:
            found = domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", f"{folder}.{name}", node, text
            )
            if found is not None:
                return found
    log.warning("the site has no %s", target, location=node, type="parts")
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("parts", Parts)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
