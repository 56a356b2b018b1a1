"""Pages that a student reads."""

from __future__ import annotations

import re

import pytest
from cli_calls import Result

from pyro_vae.cli.main import COMMANDS
from pyro_vae.cli.parts import SLOTS, known_parts, typed

#: Words of Python's types and of docstring markup, which no page may hold.
JARGON = re.compile(
    r"<class|typing\.|Union|Optional|Literal|NoneType|class_path|init_args|subclass"
    r"|\(type|: null|:math:|:class:|:func:|``|\.\. math|\\[a-z]"
)


def check(result: Result, widest: int = 100) -> str:
    assert result.code == 0 and result.err == ""
    assert JARGON.search(result.out) is None, JARGON.search(result.out)
    assert max(map(len, result.out.splitlines())) <= widest
    return result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_page(command, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # wide lines are hard to read all the same
    page = check(command(name, "--help"))
    assert page.startswith(f"usage: pyro-vae {name}")
    assert "--debug" in page and "required" not in page


def test_a_narrow_terminal_gets_narrow_lines(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    check(command("train", "--help"), 70)
    check(command("train", "--likelihood.help", "Normal"), 70)


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Pages are as wide as the terminal; a test runner may have none, or any."""
    monkeypatch.setenv("COLUMNS", "100")


def test_without_a_command_all_are_listed(command):
    for words in ([], ["--help"], ["-h"], ["help"]):
        page = check(command(*words))
        assert all(f"  {name}" in page and text in page for name, text in COMMANDS.items())


def test_version(command):
    assert re.fullmatch(r"pyro-vae \d+\.\d+\.\d+\n", command("--version").out)


def test_train_names_parts_shortly_and_shows_defaults(command):
    page = check(command("train", "--help"))
    lines = {line.split()[0]: line for line in page.splitlines() if line.startswith("  --")}
    assert "p(z): StandardNormal (default)" in lines["--prior"]
    assert (
        "MLP (default), ConvEncoder" in lines["--encoder"] and "Decoder" not in lines["--encoder"]
    )
    assert lines["--epochs"].endswith("(default: 60)") and lines["--seed"].endswith("(default: 0)")
    assert "Bernoulli for pixels, Normal for reals" in " ".join(page.split())
    titles = [line for line in page.splitlines() if re.fullmatch(r"\S.*:", line)]
    assert titles == [
        "data:",
        "model p(x, z) and guide q(z|x):",
        "training:",
        "result:",
        "options:",
    ]


ALL = [(slot, name) for slot in SLOTS for name in known_parts(slot)]


@pytest.mark.parametrize(("slot", "name"), ALL)
def test_each_part_has_a_page(command, slot, name):
    path = typed(slot)
    page = check(command("train", f"--{path}.help", name))
    assert page.startswith(f"--{path} {name}: ") and not re.search(r"frac\b", page)
    assert "options:\n  --" in page or "It has no options." in page
    assert page == command("train", f"--{path}.help={name}").out


def test_a_part_s_page_says_what_an_option_takes(command):
    page = " ".join(command("train", "--likelihood.help", "Normal").out.split())
    assert re.search(r"\(a number, 'shared', .* or '[a-z-]+'; default: shared\)", page)
    assert "p(x|z) = ∏_i N(x_i; f_i(z), σ_i^2)" in page


def test_help_of_a_part_without_a_name_is_that_of_the_default(command):
    page = command("train", "--objective.help").out
    assert page.startswith("--objective ELBO: The evidence lower bound\n")


def test_list_has_a_line_for_each_part(command):
    page = check(command("list"), 130)
    for slot, parts in ((slot, known_parts(slot)) for slot in SLOTS):
        block = page[page.index(f"--{typed(slot)} ") :].split("\n\n")[0].splitlines()[1:]
        assert [line.split()[0] for line in block] == list(parts)
        assert all(re.search(r"  \S+ +\S.*[^.,:;]$", line) for line in block), block


def test_data_lists_the_sets_and_fetches_what_is_built_in(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path / "sets"))
    page = check(command("data", "list"))
    names = ("digits", "linear_gaussian", "mnist", "mnist_static", "fashion_mnist", "kmnist")
    assert all(f"\n{name} " in page for name in names)
    assert page.splitlines()[-1] == f"cache folder: {tmp_path / 'sets'}"
    assert (
        command("data", "fetch", "digits").out == "digits is built in: there is nothing to fetch\n"
    )
