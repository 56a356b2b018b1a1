"""`pyro-vae train`: what a run is, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from cli_calls import TINY, config_of, same_state

from pyro_vae import training
from pyro_vae.cli.folder import RunFolder

KEYS = {"elbo", "reconstruction", "kl", "nll", "nll_stderr", "active_units", "n", "particles"}


def test_a_run_leaves_checkpoint_config_history_report_and_pictures(command, tmp_path):
    words = [word if word != "false" else "true" for word in TINY]
    result = command.good("train", *words, "--out", "runs/x")
    folder = tmp_path / "runs/x"
    names = {file.name for file in folder.iterdir()}
    assert names == {"checkpoint.pt", "config.yaml", "history.csv", "report.json", "pictures"}
    drawn = {"curves", "kl", "latent", "reconstructions", "samples", "traversals", "manifold"}
    files = {file.name: file for file in (folder / "pictures").iterdir()}
    assert set(files) == {f"{name}.png" for name in drawn} | {"explorer.html"}
    assert all(files[f"{name}.png"].read_bytes()[1:4] == b"PNG" for name in drawn)
    lines = result.out.splitlines()
    assert lines[0] == "digits test: 50 examples, nats per example"
    assert [line.split()[0] for line in lines[1:5]] == ["ELBO", "reconstruction", "KL", "NLL"]
    assert all("±" in line for line in lines[1:5])
    assert lines[-2].startswith("pictures: runs/x/pictures/ (curves, kl, latent")
    assert lines[-1] == "run:      runs/x/ (checkpoint, config, history, report)"


def test_json_is_all_that_stdout_holds(command):
    result = command.good("train", *TINY, "--json", "--out", "x")
    assert result.err == ""
    assert set(result.json) >= KEYS | {"run"}
    assert result.json["run"] == "x" and result.json["n"] == 50 and result.json["particles"] == 5
    assert result.json["elbo"] == pytest.approx(
        result.json["reconstruction"] - result.json["kl"], abs=1e-4
    )
    assert json.loads(Path("x/report.json").read_text()) == result.json


def test_without_out_folders_are_numbered(command, tmp_path):
    command.good("train", *TINY)
    second = command.good("train", *TINY)
    third = command.good("train", *TINY)
    assert "runs/digits holds a run already; this one goes to runs/digits-2" in second.err
    assert "goes to runs/digits-3" in third.err
    names = sorted(folder.name for folder in (tmp_path / "runs").iterdir())
    assert names == ["digits", "digits-2", "digits-3"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(command, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.rand(1)  # what was drawn before must not matter
        command.good("train", *TINY, "--seed", seed, "--out", name)
    paths = [tmp_path / name / "checkpoint.pt" for name in "abc"]
    assert same_state(paths[0], paths[1])
    assert not same_state(paths[0], paths[2])


def test_training_leaves_the_random_numbers_outside_alone(command):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    command.good("train", *TINY)
    assert torch.equal(torch.rand(3), expected)


def test_overwrite_replaces_a_run_and_nothing_else(command, run_folder, tmp_path):
    (run_folder / "notes.txt").write_text("mine")
    (run_folder / "pictures").mkdir()
    (run_folder / "pictures/old.png").write_text("old")
    command.good("train", *TINY, "--out", run_folder, "--overwrite", "--seed", 9)
    assert config_of(run_folder)["seed"] == 9
    assert len(training.History.from_csv(run_folder / "history.csv")) == 1
    assert (run_folder / "notes.txt").read_text() == "mine"
    assert not (run_folder / "pictures").exists() and not (run_folder / ".replaced").exists()


def test_latent_reaches_prior_posterior_and_decoder(command):
    command.good("train", *TINY, "--latent", 3, "--out", "x")
    built = RunFolder(Path("x")).open()
    prior, likelihood = built.vae.model.prior, built.vae.model.likelihood
    assert prior.latent == 3
    assert likelihood.network.inputs == (3,)
    assert built.vae.guide.posterior.network.outputs == (6,)


def test_options_of_parts_go_with_the_part_wherever_they_are_typed(command):
    words = ["--likelihood.scale", 0.3, *TINY, "--likelihood", "Normal", "--objective.particles", 2]
    command.good("train", *words, "--objective.kl", "sampled", "--out", "x")
    config = config_of("x")
    assert config["likelihood"]["init_args"]["scale"] == 0.3
    assert config["objective"]["class_path"] == "pyro_vae.ELBO"
    kept = config["objective"]["init_args"]
    assert (kept["kl"], kept["particles"], kept["vectorize"]) == ("sampled", 2, True)


def test_the_default_likelihood_is_written_into_the_configuration(command):
    command.good("train", *TINY, "--out", "pixels")
    command.good("train", *TINY, "--data", "linear_gaussian", "--out", "reals")
    found = [config_of(name) for name in ("pixels", "reals")]
    paths = [config["likelihood"]["class_path"] for config in found]
    assert paths == ["pyro_vae.likelihoods.Bernoulli", "pyro_vae.likelihoods.Normal"]


def test_printed_and_kept_configurations_give_the_same_run_again(command, tmp_path):
    words = [*TINY, "--likelihood", "Normal", "--likelihood.scale", "0.5", "--seed", "7"]
    printed = command.good("train", *words, "--print_config").out
    assert not any(name in yaml.safe_load(printed) for name in ("out", "json", "overwrite"))
    (tmp_path / "printed.yaml").write_text(printed)
    assert list(tmp_path.iterdir()) == [tmp_path / "printed.yaml"]  # nothing was trained
    command.good("train", *words, "--out", "first")
    for config, out in (("printed.yaml", "second"), ("first/config.yaml", "third")):
        command.good("train", "--pictures", "false", "--config", config, "--out", out)
        assert same_state(tmp_path / "first/checkpoint.pt", tmp_path / out / "checkpoint.pt")


def test_what_is_typed_goes_before_what_a_file_says(command, tmp_path):
    (tmp_path / "mine.yaml").write_text("epochs: 7\nlr: 0.5\n")
    words = ["--epochs", 3, "--config", "mine.yaml"]
    config = yaml.safe_load(command.good("train", *words, "--print_config").out)
    assert (config["epochs"], config["lr"]) == (3, 0.5)


def test_convolutions_get_images(command):
    words = [word for word in TINY if "hidden" not in word and word != "[8]"]
    nets = ["--encoder", "ConvEncoder", "--decoder", "ConvDecoder"]
    small = ["--encoder.channels", "[2]", "--decoder.channels", "[2]"]
    result = command.good("train", *words, *nets, *small, "--pictures", "true", "--out", "x")
    assert "reconstructions" in result.out
    config = config_of("x")
    assert config["encoder"]["init_args"]["channels"] == [2]


def _csv(x):
    np.savetxt("mine.csv", x, delimiter=",", header="a,b,c", comments="")
    return "mine.csv"


def _npy(x):
    np.save("mine.npy", x)
    return "mine.npy"


def _npz(x):
    np.savez("mine.npz", x=x, y=np.arange(len(x)) % 3)
    return "mine.npz"


@pytest.mark.parametrize("write", [_csv, _npy, _npz])
def test_a_file_of_ones_own(command, write, monkeypatch, tmp_path):
    name = write(np.random.default_rng(0).normal(size=(40, 3)))
    report = command.good("train", *TINY, "--data", name, "--json").json
    assert report["run"] == "runs/mine" and report["n"] == 4  # a tenth is for the test
    # The run is opened from any folder.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = command.good("evaluate", "../runs/mine", "--particles", 5, "--json").json
    assert again["elbo"] == report["elbo"]


def test_grey_pixels_of_ones_own_are_binarised_for_bernoulli_and_kept_for_normal(command):
    np.save("grey.npy", np.random.default_rng(0).uniform(size=(40, 3, 4)))
    for likelihood, kind in (("Bernoulli", "binary"), ("Normal", "grey")):
        out = f"runs/{likelihood}"
        words = ["--data", "grey.npy", "--likelihood", likelihood, "--out", out]
        command.good("train", *TINY, *words)
        built = RunFolder(Path(out)).open()
        assert built.dataset.values == kind
        assert built.image == (3, 4) and tuple(built.dataset.event_shape) == (12,)


def test_images_of_odd_sizes_go_through_convolutions(command):
    np.save("odd.npy", np.random.default_rng(0).uniform(size=(40, 5, 7)))
    nets = ["--encoder", "ConvEncoder", "--decoder", "ConvDecoder", "--latent", 2]
    command.good("train", "--data", "odd.npy", *nets, "--epochs", 1, "--particles", 5, "--out", "x")
    assert Path("x/pictures/reconstructions.png").exists()
    command.good("sample", "x", "--n", 3, "--out", "x.npy")
    assert np.load("x.npy").shape == (3, 5, 7)


def test_train_tells_of_progress_on_stderr_alone(command):
    result = command.good("train", *TINY)
    assert "epoch 1/1  ELBO" in result.err and "epoch" not in result.out


def test_early_weights_of_another_aim_are_told(command):
    # A KL that costs nothing grows without end, and the plain ELBO is best at once.
    words = ["--objective", "BetaELBO", "--objective.beta", 0, "--lr", 0.05, *TINY, "--epochs", 12]
    told = command.good("train", *words, "--out", "early").err
    assert "which is not what BetaELBO maximises: --restore_best false" in told
    assert "plain" not in command.good("train", *words, "--restore_best", "false").err
    words[1:4] = ["ELBO"]
    assert "plain" not in command.good("train", *words, "--out", "third").err
