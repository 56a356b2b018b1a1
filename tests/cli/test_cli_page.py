"""The page of the command line names what there is: its commands parse, its tables are whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pyro_vae.cli import sweep
from pyro_vae.cli.main import COMMANDS
from pyro_vae.cli.options import add_out_options, add_run_options, training_parser
from pyro_vae.cli.parts import known_parts

FILE = Path(__file__).parents[2] / "docs" / "command_line.md"
PAGE = FILE.read_text("utf-8").replace("\\\n", "")
TYPED = sorted(
    set(re.findall(r"(?:^\$ |^|`)pyro-vae ([a-z]+(?: [^`\n>]*)?)(?=[`\n>])", PAGE, re.MULTILINE))
)
TABLE = re.findall(r"^\| .*?`(--program [^`]*)`", PAGE, re.MULTILINE)


def parsed(words: list[str]):
    parser = training_parser()
    add_run_options(parser)
    add_out_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("line", TYPED)
def test_a_command_of_the_page_can_be_typed(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("vamp.yaml").write_text("prior: VampPrior\n")
    Path("mymodule.py").write_text("from pyro_vae.priors import Laplace as MyPrior\n")
    monkeypatch.syspath_prepend(tmp_path)
    command, *words = shlex.split(line)
    assert command in COMMANDS
    if command == "sweep":
        axes, rest, _ = sweep._parse(words)
        assert any(len(values) > 1 for values in axes.values())
        words = rest + [w for name, values in axes.items() for w in (name, values[0])]
    if command in ("train", "sweep") and "--epohcs" not in words:
        parsed([word for word in words if word != "--print_config"])


def test_both_tables_have_every_family():
    families = set(known_parts("program"))
    assert {words.split()[1] for words in TABLE} == families
    taken = PAGE.partition("### What each family takes")[2].partition("*Any* prior")[0]
    assert set(re.findall(r"`(\w+)`", taken)) >= families
    for words in TABLE:
        parsed(shlex.split(words))
