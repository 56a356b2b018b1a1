"""What a run measured, one row an epoch."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, overload

from pyro_vae.training.files import atomic_write

Number = float | int | None
Row = dict[str, Number]


@dataclass(repr=False)
class History:
    """The table of a run: a row for each epoch, a column for each quantity (bounds in nats).

    Every row has every column; ``None`` stands where a quantity was not measured, so that a
    column may start late or be measured every few epochs only. Both kinds of file give back an
    equal history, NaN and infinities included.

    Args:
        rows: the rows to start with, of numbers, 0-dim tensors or arrays, and None.

    Example:
        >>> history = History()
        >>> history.append(epoch=1, elbo=-120.5)
        >>> history.append(epoch=2, elbo=-101.25, valid_elbo=-103.0)
        >>> history["elbo"], history["valid_elbo"], history.best_epoch
        ([-120.5, -101.25], [None, -103.0], 2)
        >>> print(history)
        epoch     elbo  valid_elbo
            1  -120.50
            2  -101.25     -103.00
    """

    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        given, self.rows = self.rows, []
        for row in given:
            self.append(**row)

    def append(self, **row: Any) -> None:
        """Add a row. A column new with it is None in the rows before; one it lacks, None in it.

        Raises:
            TypeError: a value is not a number; the message names its column.
        """
        given = {name: _number(name, value) for name, value in row.items()}
        new = [name for name in given if self.rows and name not in self.rows[0]]
        for earlier in self.rows:
            earlier.update(dict.fromkeys(new))
        self.rows.append({**dict.fromkeys(self.columns), **given})

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order of appearance."""
        return list(self.rows[0]) if self.rows else []

    @property
    def best_epoch(self) -> int | None:
        """The first epoch of the highest finite ``valid_elbo``, or of ``elbo`` without one."""
        for name in ("valid_elbo", "elbo"):
            values = self.column(name) if name in self.columns else []
            finite = [v for v in values if v is not None and math.isfinite(v)]
            if finite:
                best = self.column("epoch")[values.index(max(finite))]
                return None if best is None else int(best)
        return None

    def column(self, name: str) -> list[Number]:
        """One quantity over the epochs; an unknown name is a KeyError that lists the known."""
        if name not in self.columns:
            known = ", ".join(self.columns) or "none yet"
            raise KeyError(f"the history has no column {name!r}; it has: {known}")
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __contains__(self, key: object) -> bool:
        return key in (self.columns if isinstance(key, str) else self.rows)

    @overload
    def __getitem__(self, key: str) -> list[Number]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    def __getitem__(self, key: str | int) -> list[Number] | Row:
        return self.column(key) if isinstance(key, str) else self.rows[key]

    def state_dict(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the history that ``state_dict`` was taken of."""
        self.rows = History(state["rows"]).rows

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a header and a line for each row, atomically; None is an empty cell."""
        header = [csv_line(self.columns)] if self.rows else []
        _write(path, header + [csv_line(row.values()) for row in self.rows])

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON object a row, atomically; NaN and infinities, not in JSON, as strings."""
        _write(path, [json_line(row) for row in self.rows])

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """Read a file of ``to_csv``; a ValueError names the line that is no row of numbers."""
        history = cls()
        reader = csv.DictReader(io.StringIO(_text(path), newline=""))
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            # The reader's marks for more cells than the header has, and for fewer.
            if None in cells or None in cells.values():
                raise ValueError(f"{where}: not as many cells as the header has")
            history.append(**{name: _parse(where, cell) for name, cell in cells.items()})
        return history

    @classmethod
    def from_jsonl(cls, path: str | os.PathLike[str]) -> History:
        """Read a file of ``to_jsonl``; a ValueError names the line that is no row of numbers."""
        history = cls()
        # Not splitlines, which also splits at the rare breaks that JSON allows in a string.
        for number, line in enumerate(_text(path).split("\n"), start=1):
            if not line:
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                row = None
            if not isinstance(row, dict):
                raise ValueError(f"{where}: {line[:40]!r} is not a JSON object")
            history.append(**{name: _parse(where, value) for name, value in row.items()})
        return history

    def __repr__(self) -> str:
        return f"History({len(self)} rows of: {', '.join(self.columns) or 'nothing yet'})"

    def __str__(self) -> str:
        table = [self.columns, *self._last_rows()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        padded = [[cell.rjust(width) for cell, width in zip(r, widths, strict=True)] for r in table]
        return "\n".join("  ".join(cells).rstrip() for cells in padded)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = ["".join(f"<td>{cell}</td>" for cell in cells) for cells in self._last_rows()]
        return f"<table>{''.join(f'<tr>{line}</tr>' for line in [head, *body])}</table>"

    def _last_rows(self) -> list[list[str]]:
        return [[format_number(value) for value in row.values()] for row in self.rows[-10:]]


def format_number(value: Number) -> str:
    """A number as a table shows it: nats with two decimals, small ones with three digits."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"


def csv_line(cells: Iterable[Number | str]) -> str:
    """One line of a CSV file, numbers in full precision."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def json_line(row: Mapping[str, Number]) -> str:
    """One line of a JSONL file that every JSON reader accepts."""
    finite = {k: str(v) if v is not None and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


def _number(name: str, value: Any) -> Number:
    try:
        value = value.item() if hasattr(value, "item") else value
    except (RuntimeError, ValueError):
        raise TypeError(f"column {name!r} takes one number, not several") from None
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(f"column {name!r} takes a number or None, not a {type(value).__name__}")
    return value


def _parse(where: str, cell: Any) -> Number:
    if cell is None or type(cell) in (int, float):
        return cell
    if cell == "":
        return None
    for kind in (int, float):
        with suppress(ValueError, TypeError):
            return kind(cell)
    raise ValueError(f"{where}: {cell!r} is not a number")


def _text(path: str | os.PathLike[str]) -> str:
    return Path(path).read_bytes().decode()


def _write(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    with atomic_write(path) as file:
        file.write("".join(lines).encode())
