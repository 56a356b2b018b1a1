"""A history is a table that survives every way of keeping it."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.training.history import History, format_number

INF, NAN = math.inf, math.nan


@pytest.fixture
def history() -> History:
    history = History()
    history.append(epoch=1, elbo=-120.5, kl=3)
    history.append(epoch=2, elbo=-110.25, valid_elbo=-111.0)
    history.append(epoch=3, elbo=-115.0, valid_elbo=-112.0, lr=1e-4)
    return history


def test_rows_are_filled_so_that_the_table_is_whole(history: History) -> None:
    assert history.columns == ["epoch", "elbo", "kl", "valid_elbo", "lr"]
    assert all(list(row) == history.columns for row in history)
    assert history["kl"] == [3, None, None]
    assert history["valid_elbo"] == [None, -111.0, -112.0]
    assert history[-1] == {"epoch": 3, "elbo": -115.0, "kl": None, "valid_elbo": -112.0, "lr": 1e-4}
    assert len(history) == 3


def test_given_rows_are_filled_and_copied() -> None:
    rows: list[dict[str, Any]] = [{"a": 1}, {"b": 2.0}]
    history = History(rows)
    assert history.rows == [{"a": 1, "b": None}, {"a": None, "b": 2.0}]
    assert rows == [{"a": 1}, {"b": 2.0}]


def test_scalars_of_other_libraries_become_numbers() -> None:
    history = History()
    history.append(a=torch.tensor(2, dtype=torch.int32), b=np.float32(0.5), c=torch.ones(1, 1))
    assert [(type(v), v) for v in history[0].values()] == [(int, 2), (float, 0.5), (float, 1.0)]


@pytest.mark.parametrize("bad", ["high", True, [1.0], torch.ones(2), np.ones(3), np.bool_(True)])
def test_what_is_not_a_number_is_refused_with_its_column(bad: Any) -> None:
    history = History()
    with pytest.raises(TypeError, match=r"column 'elbo' takes (a|one) number"):
        history.append(epoch=1, elbo=bad)
    assert len(history) == 0


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([], None),
        ([{"epoch": 1}], None),
        ([{"epoch": 1, "elbo": NAN}], None),
        ([{"epoch": 4, "elbo": -3.0}, {"epoch": 5, "elbo": -2.0}], 5),
        ([{"epoch": 4, "elbo": -2.0}, {"epoch": 5, "elbo": -2.0}], 4),
        ([{"epoch": 1, "elbo": -2.0}, {"epoch": 2, "elbo": INF}, {"epoch": 3, "elbo": NAN}], 1),
        ([{"epoch": 1, "elbo": -1, "valid_elbo": -9}, {"epoch": 2, "valid_elbo": -8}], 2),
        ([{"epoch": 1, "elbo": -1.0}, {"epoch": 2, "elbo": -2.0, "valid_elbo": -8.0}], 2),
        ([{"epoch": 1, "elbo": -1.0, "valid_elbo": NAN}, {"epoch": 2, "elbo": -0.5}], 2),
    ],
)
def test_best_epoch(rows: list[dict[str, Any]], best: int | None) -> None:
    assert History(rows).best_epoch == best


def test_in_tells_columns_by_name_and_rows_by_value(history: History) -> None:
    assert "elbo" in history and "loss" not in history
    assert history[0] in history and {"epoch": 1} not in history


def test_an_unknown_column_names_the_known(history: History) -> None:
    with pytest.raises(KeyError, match="no column 'elb'; it has: epoch, elbo, kl, valid_elbo, lr"):
        history["elb"]
    with pytest.raises(KeyError, match="it has: none yet"):
        History().column("elbo")


numbers = st.none() | st.integers() | st.floats()
# A lone carriage return is the one character that Python's csv writer does not quote.
names = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=4)
tables = st.lists(st.dictionaries(names, numbers, min_size=1), max_size=4)


@settings(max_examples=80, deadline=None, database=None, derandomize=True)
@given(rows=tables)
def test_both_files_and_the_state_give_back_an_equal_history(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    history = History(rows)
    base = tmp_path_factory.getbasetemp()
    history.to_csv(base / "h.csv")
    history.to_jsonl(base / "h.jsonl")
    from_state = History([{"old": 1}])
    from_state.load_state_dict(history.state_dict())
    # repr tells NaN from None, 1 from 1.0 and -0.0 from 0.0, which == does not.
    for again in (History.from_csv(base / "h.csv"), History.from_jsonl(base / "h.jsonl")):
        assert repr(again.rows) == repr(history.rows)
    assert repr(from_state.rows) == repr(history.rows)


def test_the_files_themselves(tmp_path: Path) -> None:
    history = History([{"epoch": 1, "elbo": NAN}, {"epoch": 2, "elbo": -INF, "kl": 0.1}])
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "epoch,elbo,kl\n1,nan,\n2,-inf,0.1\n"
    history.to_jsonl(tmp_path / "h.jsonl")

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    lines = (tmp_path / "h.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert rows == [
        {"epoch": 1, "elbo": "nan", "kl": None},
        {"epoch": 2, "elbo": "-inf", "kl": 0.1},
    ]


def test_a_state_is_a_copy(history: History) -> None:
    state = history.state_dict()
    history.append(epoch=4)
    history.rows[0]["elbo"] = 0.0
    other = History()
    other.load_state_dict(state)
    assert (len(other), other["elbo"][0]) == (3, -120.5)
    other.rows[0]["elbo"] = 1.0
    assert state["rows"][0]["elbo"] == -120.5


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, history: History, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"h.{form}"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"^cannot write {path}: No space left on device$"):
        getattr(history, f"to_{form}")(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("h.csv", "a,b\n1,2\n3\n", "line 3: not as many cells"),
        ("h.csv", "a\n1,2\n", "line 2: not as many cells"),
        ("h.csv", "a,b\n1,high\n", "line 2: 'high' is not a number"),
        ("h.jsonl", '{"a": 1}\n{"a": \n', "line 2: '{\"a\": ' is not a JSON object"),
        ("h.jsonl", "[1, 2]\n", r"line 1: '\[1, 2\]' is not a JSON object"),
        ("h.jsonl", '{"a": [1]}\n', r"line 1: \[1\] is not a number"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    read = History.from_csv if name.endswith("csv") else History.from_jsonl
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_tables_for_eyes(history: History) -> None:
    assert str(history).splitlines() == [
        "epoch     elbo  kl  valid_elbo      lr",
        "    1  -120.50   3",
        "    2  -110.25         -111.00",
        "    3  -115.00         -112.00  0.0001",
    ]
    assert repr(history) == "History(3 rows of: epoch, elbo, kl, valid_elbo, lr)"
    assert repr(History()) == "History(0 rows of: nothing yet)" and str(History()) == ""
    long = History([{"epoch": i, "<b>": -0.5} for i in range(1, 31)])
    assert str(long).split()[2::2] == [str(i) for i in range(21, 31)]
    html = long._repr_html_()
    assert html.count("<tr>") == 11 and html.count("<td>") == 20
    assert "<th>&lt;b&gt;</th>" in html and "<td>30</td><td>-0.50</td>" in html


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (7, "7"), (-98.126, "-98.13"), (0.0, "0.00"), (3e-4, "0.0003"), (NAN, "nan")],
)
def test_format_number(value: float | int | None, text: str) -> None:
    assert format_number(value) == text
