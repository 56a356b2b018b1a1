"""Posteriors that hold another one and use the model, and those that are for Python alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from cli_calls import NETS, TINY, config_of, contents, same_state

from pyro_vae.cli.folder import RunFolder
from pyro_vae.cli.options import add_out_options, add_run_options, as_config, training_parser
from pyro_vae.training import History

QUIET = ["--pictures", "false", "--json"]
DIAGONAL = "pyro_vae.posteriors.DiagonalNormal"


def posterior(*words: object) -> dict:
    parser = training_parser()
    add_run_options(parser)
    add_out_options(parser)
    return as_config(parser.parse_args([str(word) for word in words]))["posterior"]


@pytest.mark.parametrize("name", ["SemiAmortized", "Hamiltonian"])
def test_a_posterior_that_uses_the_model_from_training_to_sampling(command, name, tmp_path):
    words = ["--posterior", name, *NETS, "--limit", 20, "--particles", 5, "--schedule", "constant"]
    pictures = ["--epochs", 2, "--json", "--pictures", "true"]
    report = command.good("train", *words, *pictures, "--out", "long").json
    assert {"latent.png", "samples.png"} <= {f.name for f in Path("long/pictures").iterdir()}
    command.good("train", *words, *QUIET, "--epochs", 1, "--out", "short")
    command.good("resume", "short", "--epochs", 2, *QUIET)
    assert same_state(tmp_path / "long/checkpoint.pt", tmp_path / "short/checkpoint.pt")
    assert (
        History.from_csv("short/history.csv")["elbo"]
        == History.from_csv("long/history.csv")["elbo"]
    )
    assert config_of("long")["posterior"]["init_args"]["base"]["class_path"] == DIAGONAL
    again = command.good("evaluate", "short", "--particles", 5, "--json").json
    assert again == {key: report[key] for key in again}
    command.good("sample", "short", "--n", 3, "--out", "x.npy")
    assert np.load("x.npy").shape[0] == 3
    assert (
        name in command.good("explain", "short").out or "z " in command.good("explain", "short").out
    )
    built = RunFolder(Path("short")).open()
    assert built.vae.guide.posterior.log_joint.model is built.vae.model


@pytest.mark.parametrize("words", [["SemiAmortized"], ["Hamiltonian", "--posterior.leapfrog", 2]])
def test_a_base_that_is_not_named_is_the_default(words):
    typed = posterior("--posterior", *words, "--posterior.base", "DiagonalNormal")
    assert posterior("--posterior", *words) == typed
    assert typed["init_args"]["base"]["class_path"] == DIAGONAL


def test_a_base_that_is_named_stays():
    found = posterior(
        "--posterior=Hamiltonian", "--posterior.base=StudentT", "--posterior.step", 0.2
    )
    assert found["init_args"]["base"]["class_path"] == "pyro_vae.posteriors.StudentT"


def test_a_base_within_a_base():
    words = ["--posterior", "Hamiltonian", "--posterior.base", "SemiAmortized"]
    base = posterior(*words)["init_args"]["base"]
    assert base["init_args"]["base"]["class_path"] == DIAGONAL
    base = posterior(*words, "--posterior.base.base", "StudentT", "--posterior.base.steps", 2)
    base = base["init_args"]["base"]
    assert base["init_args"]["base"]["class_path"] == "pyro_vae.posteriors.StudentT"
    assert base["init_args"]["steps"] == 2


def test_a_file_may_leave_the_base_out_too(tmp_path):
    path = tmp_path / "mine.yaml"

    def write(**init_args: object) -> None:
        kind = "pyro_vae.posteriors.SemiAmortized"
        spec = {"class_path": kind, "init_args": init_args}
        path.write_text(yaml.safe_dump({"posterior": spec}))

    write(steps=3)
    found = posterior("--config", path)["init_args"]
    assert (found["steps"], found["base"]["class_path"]) == (3, DIAGONAL)
    write(steps=3, base={"class_path": "pyro_vae.posteriors.StudentT"})
    found = posterior("--config", path)["init_args"]
    assert found["base"]["class_path"] == "pyro_vae.posteriors.StudentT"
    # What is typed goes before, and another part does not inherit the base of the one in the file.
    found = posterior("--config", path, "--posterior", "Hamiltonian")["init_args"]
    assert found["base"]["class_path"] == DIAGONAL


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--posterior.base", "PerExample"], "--posterior.base: PerExample is not for the command"),
        (["--posterior.base.min_scale", "x"], "--posterior.base.min_scale takes a number, not 'x'"),
        (["--posterior.base.wide", "1"], "--posterior.base.wide is not an option; DiagonalNormal"),
        (["--posterior.steps", "1.5"], "--posterior.steps takes a whole number, not '1.5'"),
        (["--posterior.steps", "-1"], "--posterior SemiAmortized: steps is at least 0"),
        (["--config", "no.yaml"], "--config: there is no file no.yaml"),
        (["--prior", "VampPrior"], "--posterior SemiAmortized uses the prior, without an end"),
    ],
)
def test_what_is_wrong_is_told(command, words, line):
    assert line in command.bad("train", *TINY, "--posterior", "SemiAmortized", *words)


@pytest.mark.parametrize("name", ["PerExample", "pyro_vae.posteriors.PerExample"])
@pytest.mark.parametrize("words", [[], ["--posterior.examples", "5"]], ids=str)
def test_a_part_for_python_alone_says_how(command, name, words, tmp_path):
    line = command.bad("train", *TINY, "--posterior", name, *words)
    assert line.startswith("--posterior: PerExample is not for the command line: ")
    assert line.endswith("from Python, fit(model, guide, (x, torch.arange(len(x))))")
    assert contents(tmp_path) == {}


def test_a_page_says_that_the_base_has_a_default(command):
    page = command.good("train", "--posterior.help", "SemiAmortized").out
    assert "default: DiagonalNormal" in page and "required" not in page
    assert "required" in command.good("train", "--likelihood.help", "Categorical").out


def test_a_prior_of_pseudo_inputs_starts_from_data(command):
    command.good("train", *TINY, "--prior", "VampPrior", "--prior.components", 3, "--lr", 1e-9)
    built = RunFolder(Path("runs/digits")).open()
    rows = built.dataset.train[:, None]
    nearest = (built.vae.model.prior.pseudo_inputs.detach() - rows).abs().amax(-1).amin(0)
    # Adam moves each number by no more than its learning rate a step.
    assert nearest.shape == (3,) and (nearest < 1e-6).all()


@pytest.mark.parametrize(
    ("numbers", "likelihood", "line"),
    [
        (
            [0.25, 3.5, -1.0],
            "Bernoulli",
            "mine has real values, outside the support of Bernoulli: use Laplace, Normal or "
            "StudentT ({split}, observed at site 'x', holds {number} at [{row}, {column}])",
        ),
        ([1.0, 0.0, 5.0], "Bernoulli", "use Categorical, NegativeBinomial, Poisson, "),
        ([1.0, 0.0, -5.0], "Poisson", "use Laplace, Normal or StudentT ("),
        ([1.0, 0.0, 0.25], "Beta", "contain "),
    ],
)
def test_data_outside_the_support_name_the_value_and_the_likelihoods(
    command, numbers, likelihood, line
):
    np.save("mine.npy", np.tile(np.array(numbers), (20, 1)))
    told = command.bad("train", *TINY, "--data", "mine.npy", "--likelihood", likelihood)
    fields = {"split": "train", "number": "0.25", "row": 0, "column": 0}
    assert line.format(**fields) in told
    assert "site 'x'" in told and any(f" {n:.3g} at [" in told for n in numbers)


def test_the_first_number_that_is_not_taken_is_found_wherever_it_stands(command):
    x = np.zeros((40, 2, 3))
    x[:, 1, 2] = 1
    for place in [(0, 0, 0), (17, 1, 0), (39, 1, 2)]:
        wrong = x.copy()
        wrong[place] = 7
        np.save("mine.npy", wrong)
        told = command.bad("train", *TINY, "--data", "mine.npy", "--likelihood", "Bernoulli")
        assert "holds 7 at [" in told and f", {place[1] * 3 + place[2]}])" in told
