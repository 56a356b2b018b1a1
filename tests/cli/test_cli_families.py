"""`pyro-vae train --program NAME`: every family, from training to resuming, and what it reports."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyro
import pytest
import torch
import yaml
from cli_calls import config_of, same_state
from pyro.infer import SVI

from pyro_vae import evaluation, plots
from pyro_vae.cli.build import build
from pyro_vae.cli.folder import RunFolder
from pyro_vae.cli.options import as_config, training_parser
from pyro_vae.cli.parts import known_parts
from pyro_vae.cli.run_config import read_config
from pyro_vae.families.classes import told

QUICK = ["--limit", 40, "--particles", 3, "--batch_size", 20]
NETS = ["--encoder.hidden", "[8]", "--decoder.hidden", "[8]"]
LATENT = ["--latent", 2]
SILENT = ["--pictures", "false", "--json"]

#: What is trained, the picture and the finding that tell what the family is for.
CASES = {
    "vae": ([*NETS, *LATENT], "manifold", None),
    "conditional": ([*NETS, *LATENT], "classes", None),
    "semi_supervised": ([*NETS, *LATENT, "--program.labels", 20], "classes", "accuracy_by_class"),
    "clustering": ([*NETS, *LATENT, "--program.clusters", 4], "clusters", "matched_accuracy"),
    "hierarchical": ([*NETS, "--program.layers", 3, 2], "layers", "kl_per_layer"),
    "residual": ([*NETS, *LATENT, "--program.width", 8], "layers", "kl_per_layer"),
    "discrete": ([*NETS, "--program.classes", 3], "codes", "codes_used"),
    "vector_quantised": ([*NETS, "--program.size", 8], "codebook", "codes_used"),
    "missing": ([*NETS, *LATENT], "imputed", "imputation_rmse"),
    "not_at_random": ([*NETS, *LATENT], "imputed", "imputation_rmse"),
    "denoising": ([*NETS, *LATENT], "denoised", "denoised_rmse"),
    "linear": (LATENT, "loadings", "best_log_likelihood"),
    "counts": ([*NETS, *LATENT, "--data", "counts.npy"], "spread", "zeros_of_model"),
}


@pytest.fixture(autouse=True)
def counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rates = np.random.default_rng(0).gamma(1.0, 3.0, size=(60, 5))
    np.save("counts.npy", np.random.default_rng(1).poisson(rates))


def built_from(*words: object):
    return build(as_config(training_parser().parse_args([str(word) for word in words])))


def test_every_family_is_here():
    assert set(CASES) == set(known_parts("program"))
    assert next(iter(known_parts("program"))) == "vae"


@pytest.mark.parametrize("name", CASES)
def test_a_family_is_trained_opened_drawn_and_sampled(command, name, monkeypatch):
    drawn = []

    def save(axes, path):  # written, a picture takes longest
        plt.close("all")
        drawn.append(path.stem)
        return path

    monkeypatch.setattr(plots, "save", save)
    words, picture, finding = CASES[name]
    words = ["train", "--program", name, *words, *QUICK, "--epochs", 1, "--json", "--out", "x"]
    report = command.good(*words).json
    assert report["elbo"] == pytest.approx(report["reconstruction"] - report["kl"], abs=1e-3)
    assert finding is None or finding in report
    assert picture in drawn
    assert config_of("x")["program"]["class_path"] == f"pyro_vae.families.{name}"
    again = command.good("evaluate", "x", "--particles", 3, "--json").json
    assert again == {key: report[key] for key in again}
    command.good("sample", "x", "--n", 3, "--out", "x.npy")
    built = RunFolder(Path("x")).open()
    assert np.load("x.npy").shape[0] == 3 and np.isfinite(np.load("x.npy")).all()
    assert len(built.raw("train")[0]) == 40 or name == "counts"
    assert "observed" in command.good("explain", "x").out


@pytest.mark.parametrize("name", ["conditional", "semi_supervised", "hierarchical", "missing"])
def test_a_family_resumes_bit_for_bit(command, name, tmp_path):
    words = ["train", "--program", name, *CASES[name][0], *QUICK, "--schedule", "constant"]
    command.good(*words, "--epochs", 3, *SILENT, "--out", "long")
    command.good(*words, "--epochs", 1, *SILENT, "--out", "short")
    command.good("resume", "short", "--epochs", 3, *SILENT)
    assert same_state(tmp_path / "long/checkpoint.pt", tmp_path / "short/checkpoint.pt")
    reports = [Path(folder, "report.json").read_text() for folder in ("long", "short")]
    assert reports[0] == reports[1].replace('"run": "short"', '"run": "long"')


@pytest.mark.parametrize("name", CASES)
def test_a_kept_configuration_gives_the_same_programs_again(name, tmp_path):
    words, _, _ = CASES[name]
    built = built_from("--program", name, *words, "--limit", 40)
    (tmp_path / "kept.yaml").write_text(yaml.safe_dump(built.config))
    other = build(read_config(tmp_path / "kept.yaml"))
    assert other.config == built.config
    one, two = (list(b.vae.state_dict().values()) for b in (built, other))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    for split in ("train", "test"):
        pairs = zip(built.raw(split), other.raw(split), strict=True)
        assert all(a.equal(b) for a, b in pairs)


def test_a_configuration_without_a_program_is_that_of_the_vae(command, run_folder):
    config = config_of(run_folder)
    del config["program"]
    (run_folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert command.good("evaluate", run_folder, "--particles", 3, "--json").json["n"] == 50


def test_labels_that_are_told_are_balanced():
    labels = torch.arange(60) % 3
    few = told(labels, 9, 3, seed=1)
    kept = few >= 0
    assert few[kept].bincount().tolist() == [3, 3, 3]
    assert torch.equal(few[kept], labels[kept])
    assert not torch.equal(few, told(labels, 9, 3, seed=2))
    assert (told(labels, 10, 3, seed=1) >= 0).sum() == 10


def test_a_label_chooses_what_is_sampled(command):
    words = [*NETS, *LATENT, *QUICK, "--epochs", 1, *SILENT]
    for name in ("conditional", "semi_supervised", "clustering"):
        command.good("train", "--program", name, *words, "--out", name)
        made = []
        for label in (0, 1):
            out = f"{name}{label}.npy"
            command.good("sample", name, "--n", 4, "--label", label, "--out", out)
            made.append(np.load(out))
        assert made[0].shape == (4, 64) and not np.array_equal(*made)
        line = command.bad("sample", name, "--label", 10)
        assert line == "--label 10 is none of the 10 there are, 0 to 9"
    # The model itself runs, with its class given: what it is told is what it decodes.
    built = RunFolder(Path("semi_supervised")).open()
    model, classes = built.vae.model, torch.full((300,), 1)
    with torch.no_grad():
        model.likelihood.network.layers[0].weight[:, 10:] = 0.0  # so that the style says nothing
    one_hot = torch.nn.functional.one_hot(classes, 10).float()
    expected = evaluation.decode(model, built.dataset.test, {"y": one_hot}, observed="x")
    torch.testing.assert_close(built.family.generate(built.view(), 300, label=1), expected)


def test_nan_in_a_file_is_missing_and_hidden_entries_are_known_to_the_report(command):
    x = np.random.default_rng(0).normal(size=(60, 4))
    x[::3, 1] = np.nan
    np.save("holes.npy", x)
    words = ["--data", "holes.npy", *NETS, *LATENT, *QUICK, "--epochs", 1, *SILENT]
    report = command.good("train", "--program", "missing", *words, "--out", "a").json
    assert "imputation_rmse" not in report  # nobody knows the truth
    words += ["--program.fraction", 0.25]
    report = command.good("train", "--program", "missing", *words, "--out", "b").json
    assert report["imputation_rmse"] > 0
    x, known = RunFolder(Path("b")).open().raw("train")
    assert not (known & x.isnan()).any() and x.isnan().any()
    Path("holes.csv").write_text(
        "a,b\n" + "".join(f"{i},{'' if i % 3 else i}\n" for i in range(60))
    )
    words = ["--data", "holes.csv", *NETS, *LATENT, *QUICK, "--epochs", 1, *SILENT]
    command.good("train", "--program", "missing", *words, "--likelihood", "Normal", "--out", "c")
    assert RunFolder(Path("c")).open().dataset.train.isnan().any()


def test_entries_beyond_the_mean_are_hidden_where_they_are_lost_by_value():
    x, known = built_from("--program", "not_at_random", "--data", "linear_gaussian").raw("train")
    assert (x > x.mean(0))[~known].all() and 0.2 < 1 - known.float().mean() < 0.3
    words = ["--program", "not_at_random", "--program.lost", "low", "--data", "linear_gaussian"]
    x, known = built_from(*words).raw("train")
    assert (x < x.mean(0))[~known].all() and (~known).any()


def test_a_known_part_of_an_image_and_columns(command):
    quarter, rest = built_from("--program", "conditional", "--program.given", "quadrant").raw(
        "test"
    )[::-1]
    assert quarter.shape[1] == 16 and rest.shape[1] == 48
    built = built_from("--program", "conditional", "--program.given", 0, 3, "--data",
                       "linear_gaussian")  # fmt: skip
    x, given = built.raw("test")
    assert x.shape[1] == 6 and given.shape[1] == 2
    whole = built.family.shown(x, given)
    assert torch.equal(whole[:, [0, 3]], given)
    assert torch.equal(whole[:, [1, 2, 4, 5, 6, 7]], x)


def test_the_prior_of_a_hierarchy_s_weights_may_be_a_schedule_for_each_layer(command):
    words = ["--program", "hierarchical", *NETS, *LATENT, *QUICK, *SILENT, "--epochs", 1]
    words += ["--objective", "SiteBetaELBO", "--objective.betas.z2", "Linear"]
    command.good("train", *words, "--objective.betas.z2.length", 8, "--out", "x")
    header, row = Path("x/history.csv").read_text().splitlines()
    assert float(dict(zip(header.split(","), row.split(","), strict=True))["beta_z2"]) > 0
    assert RunFolder(Path("x")).open().objective.sites == ("z2",)


@pytest.mark.parametrize("name", ["AdversarialELBO", "InfoELBO", "WassersteinELBO"])
def test_recipes_of_other_autoencoders(command, name):
    words = [*NETS, *LATENT, *QUICK, "--epochs", 1, *SILENT]
    report = command.good("train", "--objective", name, *words).json
    assert np.isfinite(report["elbo"])


@pytest.mark.parametrize("name", known_parts("corruption"))
def test_every_corruption_can_be_named(name):
    words = ["--program", "denoising", "--program.corruption", name, *NETS, *LATENT, "--limit", 40]
    built = built_from(*words)
    guide, (x,) = built.vae.guide, built.split("train")
    assert type(guide.corruption).__name__ == name
    assert not torch.equal(guide.corruption(x), x)
    assert torch.equal(guide.eval().corruption(x), x)


@pytest.mark.parametrize("name", CASES)
def test_the_programs_of_a_family_are_copied_and_pickled_after_steps(name):
    words, _, _ = CASES[name]
    built = built_from("--program", name, *words, "--limit", 40)
    svi = SVI(*built.vae, pyro.optim.Adam({"lr": 0.01}), built.objective)
    arguments = built.split("train")
    svi.step(*arguments)
    for copied in (copy.deepcopy(built.vae), pickle.loads(pickle.dumps(built.vae))):
        elbos = []
        for model, guide in (built.vae, copied):
            elbos.append(evaluation.evaluate(model, guide, *built.split("test"), particles=2).elbo)
        assert elbos[0] == elbos[1]
        before = [p.clone() for p in built.vae.parameters()]
        SVI(*copied, pyro.optim.Adam({"lr": 0.01}), built.objective).step(*arguments)
        own = list(built.vae.parameters())
        assert all(torch.equal(p, q) for p, q in zip(before, own, strict=True))
        moved = [not torch.equal(p, q) for p, q in zip(own, copied.parameters(), strict=True)]
        assert all(moved)
    svi.step(*arguments)  # pickling took nothing that the next step needs


def test_few_labels_weigh_a_tenth_of_what_they_stand_for_and_at_least_ten():
    for labels, weight in ((20, 10.0), (10, 12.97)):
        built = built_from("--program", "semi_supervised", "--program.labels", labels, *NETS)
        assert built.vae.guide.auxiliary == pytest.approx(weight)


def test_a_layer_that_is_not_used_is_told_with_what_helps():
    built = built_from("--program", "hierarchical", *NETS, *LATENT, "--limit", 40)
    with torch.no_grad():  # the ladder finds nothing of z1: what the model expects stays
        last = built.vae.guide.posteriors[0].network.layers[-1]
        last.weight.zero_()
        last.bias[2:] = 30.0
        built.vae.guide.posteriors[1].network.layers[-1].bias[0] = 2.0
    (finding,) = built.family.findings(built.view())
    assert finding.value["z1"] < 0.05 < finding.value["z2"]
    assert "(z1 unused: let the KL in slowly, --objective SiteBetaELBO" in finding.line
    words = finding.line.partition("slowly, ")[2].rstrip(")").split()
    words += ["--program", "hierarchical", *NETS, *LATENT, "--limit", 40]
    assert built_from(*words).objective.sites == ("z1",)
