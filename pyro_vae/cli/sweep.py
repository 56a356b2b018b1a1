"""``pyro-vae sweep``: one run for each value of an option, side by side."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from pyro_vae.evaluation import Report
from pyro_vae.training.files import atomic_write

from .errors import UsageError
from .folder import RunFolder, default_folder
from .train import main as train

HELP = """usage: pyro-vae sweep OPTION VALUE VALUE ... [options of train]

One run of `pyro-vae train` for each value of the options that have several, in folders of one
folder, with a table (sweep.csv) and the rate-distortion plane (sweep.png). Runs that are there
already are not run again; --debug shows the traceback of an error.

example:
  pyro-vae sweep --data digits --objective BetaELBO --objective.beta 0.1 1 4 10 --out runs/beta
"""
_OWN = ("--out", "--json", "--pictures", "--config")
_SHOWN = ("elbo", "reconstruction", "kl", "nll", "active_units")
#: What the report of any two programs holds.
_PLAIN = {field.name for field in fields(Report)}


def main(words: list[str]) -> None:
    """Train all runs, then show them in one table and one picture."""
    if not words or "--help" in words or "-h" in words:
        print(HELP, end="")
        return
    axes, rest, out = _parse(words)
    runs = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    folder = Path(out) if out else default_folder("sweep")
    rows = []
    for number, chosen in enumerate(runs, 1):
        name = ",".join(f"{option.lstrip('-')}={value}" for option, value in chosen.items())
        place = folder / name.replace("/", "_")
        if not RunFolder(place).report.exists():
            print(f"run {number} of {len(runs)}: {name}", file=sys.stderr)
            typed = [word for option, value in chosen.items() for word in (option, value)]
            train([*rest, *typed, "--out", str(place), *_begun(place)])
        report = json.loads(RunFolder(place).report.read_text(encoding="utf-8"))
        rows.append({**chosen, **report})
    _write(folder, list(axes), rows)


def _parse(words: list[str]) -> tuple[dict[str, list[str]], list[str], str | None]:
    """The options with several values, all other words, and the folder."""
    axes: dict[str, list[str]] = {}
    rest: list[str] = []
    out = None
    position = 0
    while position < len(words):
        option, _, value = words[position].partition("=")
        values = [value] if value else []
        position += 1
        while not value and position < len(words) and not _is_option(words[position]):
            values.append(words[position])
            position += 1
        if not option.startswith("--"):
            raise UsageError(f"{option!r} belongs to no option; see pyro-vae sweep --help")
        if option == "--out":
            out = values[0] if len(values) == 1 else None
            if out is None:
                raise UsageError("--out needs one folder")
        elif option in _OWN and len(values) > 1:
            raise UsageError(f"{option} cannot have several values")
        elif len(values) > 1:
            axes[option] = values
        else:
            rest += [option, *values]
    if not axes:
        raise UsageError(
            "no option has several values: --objective.beta 0.1 1 10; for one run use "
            "pyro-vae train"
        )
    return axes, rest, out


def _is_option(word: str) -> bool:
    return word.startswith("--")  # and not -1, which is a value


def _begun(place: Path) -> list[str]:
    """A run that came to no report is begun again."""
    return ["--overwrite"] if RunFolder(place).holds_run() else []


def _write(folder: Path, options: list[str], rows: list[dict[str, Any]]) -> None:
    names = [option.lstrip("-") for option in options]
    # Families report more than others: all of it is kept, and shown where it is one number.
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in (*options, "run")))
    found = [key for key in keys if key not in _PLAIN and all(map(_is_number, _column(rows, key)))]
    shown = [*_SHOWN, *found]
    header = [*names, *shown]
    table = [
        [*(row[o] for o in options), *(_number(row.get(key)) for key in shown)] for row in rows
    ]
    widths = [max(len(str(line[i])) for line in [header, *table]) for i in range(len(header))]
    for line in [header, *table]:
        print("  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *keys])
    for row in rows:
        writer.writerow(row.get(key) for key in [*options, *keys])
    with atomic_write(folder / "sweep.csv") as file:
        file.write(text.getvalue().encode())
    labels = [", ".join(str(row[option]) for option in options) for row in rows]
    print(f"table and picture: {folder}/ (sweep.csv, {_draw(folder, names, labels, rows).name})")


def _draw(folder: Path, names: list[str], labels: list[str], rows: list[dict[str, Any]]) -> Path:
    from pyro_vae import plots

    axis = plots.rate_distortion(
        [row["kl"] for row in rows], [-row["reconstruction"] for row in rows], labels=labels
    )
    axis.set_title(", ".join(names), fontsize=9, loc="left")
    path = folder / "sweep.png"
    plots.save(axis, path)
    return path


def _column(rows: list[dict[str, Any]], key: str) -> list[Any]:
    return [row[key] for row in rows if key in row]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
