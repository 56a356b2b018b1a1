"""Numbers from a comma-separated file, and the place of whatever is not a number."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import numpy as np

_ENCODING = "utf-8-sig"  # spreadsheets put a byte-order mark at the start


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None


def read_csv(path: Path, missing: bool = False) -> np.ndarray:
    """A (rows, columns) float64 array; a first line without any number is taken as a header.

    Where entries may be ``missing``, an empty field is nan, and nan may stand.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is not a finite number, or a row is shorter or longer than the first;
            the message names line and column, counted from 1.
    """
    try:
        with path.open(encoding=_ENCODING) as file:
            first = next((line for line in file if line.strip()), "")
            header = all(_number(field) is None for field in next(csv.reader([first]), []))
            second = next((line for line in file if line.strip()), "") if header else first
            if not second:
                raise ValueError(f"{path} has no rows of numbers")
            lines = itertools.chain([second], file)
            read = (lambda field: float(field.strip() or "nan")) if missing else None
            x = np.loadtxt(
                lines, delimiter=",", comments=None, quotechar='"', ndmin=2, converters=read
            )
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: save it as UTF-8 CSV") from error
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        # numpy counts rows without the header and blank lines; an editor does not.
        raise ValueError(_first_fault(path, header, missing) or f"{path}: {error}") from None
    if np.isinf(x).any() or (np.isnan(x).any() and not missing):
        raise ValueError(_first_fault(path, header, missing) or f"{path} holds NaN or infinity")
    return x


def _first_fault(path: Path, header: bool, missing: bool) -> str | None:
    width = None
    with path.open(encoding=_ENCODING, newline="") as file:
        reader = csv.reader(file)
        rows = (row for row in reader if "".join(row).strip())
        if header:
            next(rows)
        for row in rows:
            where = f"{path}, line {reader.line_num}"
            width = width or len(row)
            if len(row) != width:
                return f"{where}: {len(row)} columns, but {width} in the first row"
            for column, field in enumerate(row, 1):
                value = _number(field)
                if missing and (not field.strip() or (value is not None and math.isnan(value))):
                    continue
                if value is None:
                    cure = "numbers separated by commas are needed"
                    return f"{where}, column {column}: {field!r} is not a number; {cure}"
                if not math.isfinite(value):
                    cure = "fill it in or leave the row out"
                    return f"{where}, column {column}: {field!r} is not finite; {cure}"
    return None
