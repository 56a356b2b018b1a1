"""The page of families says what runs: its blocks, one after the other, in one namespace."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from pyro_vae import programs

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_every_block_runs():
    namespace: dict[str, object] = {}
    few = [block.replace('load("digits")', 'load("digits").subset(200)') for block in BLOCKS]
    assert few != BLOCKS
    with warnings.catch_warnings():
        # One epoch trains nothing, and may say so.
        warnings.simplefilter("ignore", UserWarning)
        for block in few:
            exec(compile(block, str(PAGE), "exec"), namespace)
    assert namespace["several"].shape == (4, 64)
    assert namespace["by_the_top"].shape == (3, 9, 64)
    assert namespace["copies"].shape == (4, 9, 64)
    assert namespace["exact"].shape == (200,)


@pytest.mark.parametrize("family", [
    name for name in programs.__all__
    if name not in ("vae", "corruption", "solutions") and hasattr(getattr(programs, name), "Guide")
])  # fmt: skip
def test_every_family_is_on_the_page(family):
    assert f"programs.{family}" in PAGE.read_text("utf-8")


def test_every_picture_is_there():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text("utf-8")):
        file = PAGE.parent / picture
        assert file.is_file(), picture
        assert file.stat().st_size < 110_000, picture
