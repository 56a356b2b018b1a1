"""The directive ``graphs``: lines that build a model and a guide, and the two as graphs.

The lines are shown and executed. They set ``model``, ``guide`` and ``arguments``, the tuple that
both are called with. Where the ``dot`` program is missing, tables of shapes stand for the pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphviz
import pyro
import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

log = logging.getLogger(__name__)


class Graphs(SphinxDirective):
    """See the module."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        source = "\n".join(self.content)
        code = nodes.literal_block(source, source, language="python")
        self.set_source_info(code)
        names: dict[str, Any] = {}
        pyro.clear_param_store()
        torch.manual_seed(0)
        exec(compile(source, self.get_location(), "exec"), names)
        pair = nodes.container(classes=["graphs"])
        for role, symbol in (("model", "p"), ("guide", "q")):
            caption = nodes.caption(text=f"The {role}, {symbol}.")
            shown = self._graph(role, names[role], names["arguments"])
            pair += nodes.figure("", shown, caption)
        return [code, pair]

    def _graph(self, role: str, program: Callable[..., Any], arguments: tuple) -> nodes.Element:
        graph = pyro.render_model(program, arguments, render_distributions=True)
        graph.graph_attr.update(bgcolor="transparent", pad="0.1", fontname="Helvetica")
        graph.node_attr.update(fontname="Helvetica")
        name = hashlib.sha256(graph.source.encode()).hexdigest()[:16]
        file = Path(self.env.app.srcdir) / "_build" / "graphs" / f"{name}.svg"
        if not file.exists():
            try:
                drawn = graph.pipe(format="svg")
            except graphviz.ExecutableNotFound:
                log.info("no `dot` here: shapes stand for the graph of the %s", role)
                return self._shapes(program, arguments)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(drawn)
        alt = f"The sites of the {role} as a graph; each depends on those with an arrow to it"
        return nodes.image(uri=f"/_build/graphs/{name}.svg", alt=alt)

    def _shapes(self, program: Callable[..., Any], arguments: tuple) -> nodes.Element:
        trace = pyro.poutine.trace(program).get_trace(*arguments)
        return nodes.literal_block(text=trace.format_shapes(), language="text")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("graphs", Graphs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
