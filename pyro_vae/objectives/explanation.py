"""The table on the wall: what ``explain`` says, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from pyro_vae.terms.errors import ProgramError

HEADER = ("site", "kind", "p", "q", "plate", "event", "KL", "gradient", "nats")


@dataclass(frozen=True)
class Explanation:
    """What :func:`~pyro_vae.objectives.explain` found; printing it shows the table.

    Attributes:
        rows: one tuple of strings a site, in the order of ``HEADER``.
        notes: how many parameters, how the bound adds up, why a KL is sampled.
        problems: what is wrong, one line each with the site and the cure.
    """

    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def raise_for_problems(self) -> None:
        """Raise :class:`ProgramError` with the first problem, if there is one."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more: see explain)" * (len(self.problems) > 1)
            raise ProgramError(self.problems[0] + more)

    def __str__(self) -> str:
        table = [HEADER, *self.rows] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        # Numbers are read from the right, words from the left.
        lines = [
            "  ".join([*map(str.ljust, row[:-1], widths), row[-1].rjust(widths[-1])])
            for row in table
        ]
        if lines:
            lines.insert(1, "  ".join("─" * width for width in widths))
        lines += self.notes
        return "\n".join(lines + [f"problem: {line}" for line in self.problems])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = [[f"<td>{escape(cell)}</td>" for cell in row] for row in self.rows]
        head = "".join(f"<th>{escape(name)}</th>" for name in HEADER)
        body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
        texts = [*self.notes, *(f"problem: {line}" for line in self.problems)]
        below = "".join(f"<p>{escape(text)}</p>" for text in texts)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"
