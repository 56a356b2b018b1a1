"""Commands that open a run: `evaluate`, `sample`, `explain`, `plot`; and whose code they import."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from cli_calls import TINY, config_of

from pyro_vae import evaluation
from pyro_vae.cli.folder import RunFolder

KEYS = {"elbo", "reconstruction", "kl", "nll", "nll_stderr", "active_units", "n", "particles"}

OWN = """
import torch
import pyro.distributions as dist
from pyro_vae.priors import Prior, StandardNormal

class Wide(Prior):
    '''Independent normals of another width.

    Args:
        latent: number of latent dimensions.
        width: the standard deviation.
    '''
    def __init__(self, latent: int, width: float = 2.0) -> None:
        super().__init__()
        self.latent, self.width = latent, width

    def forward(self):
        return dist.Normal(torch.zeros(self.latent), self.width).to_event(1)

class Shifted(StandardNormal):
    def __init__(self, shift: float, **options) -> None:
        super().__init__(**options)
        self.loc += shift

class Half(Prior):
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's, which is forgotten again after the test."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    yield "own_parts"
    sys.modules.pop("own_parts", None)


def test_evaluate_prints_one_object_which_the_library_gives_too(command, run_folder):
    report = command.good("evaluate", run_folder, "--particles", 7, "--seed", 3, "--json").json
    assert set(report) >= KEYS
    built = RunFolder(run_folder).open()
    x = built.dataset.test
    assert report == evaluation.evaluate(*built.vae, x, particles=7, seed=3).to_dict()


def test_evaluate_of_other_splits_and_fewer_examples(command, run_folder):
    words = ["evaluate", run_folder, "--particles", 5, "--json"]
    assert command.good(*words, "--limit", 7).json["n"] == 7
    assert command.good(*words, "--limit", 700).json["n"] == 50
    built = RunFolder(run_folder).open()  # drawn, not the first: some sets are sorted by class
    x = built.view("test", 7, shuffled=True).x
    assert not torch.equal(x, built.dataset.test[:7])
    found = evaluation.evaluate(*built.vae, x, particles=5, seed=0).to_dict()
    assert command.good(*words, "--limit", 7).json == found
    first = command.good(*words, "--split", "train").json
    assert first == command.good(*words, "--split", "train").json  # binarised by the seed
    assert first != command.good(*words, "--split", "train", "--seed", 1).json
    assert command.good(*words, "--split", "valid").json["elbo"] != first["elbo"]


def test_evaluate_for_people(command, run_folder):
    result = command.good("evaluate", run_folder, "--particles", 5, "--split", "valid")
    assert result.out.splitlines()[0] == "digits valid: 50 examples, nats per example"
    assert "(5 particles)" in result.out


def test_evaluate_leaves_the_run_as_it_is(command, run_folder):
    before = {file: file.stat().st_mtime_ns for file in run_folder.rglob("*")}
    command.good("evaluate", run_folder, "--particles", 5)
    assert {file: file.stat().st_mtime_ns for file in run_folder.rglob("*")} == before


def test_sample_into_a_picture_or_an_array(command, run_folder):
    assert command.good("sample", run_folder).out == f"{run_folder / 'samples.png'}\n"
    assert (run_folder / "samples.png").read_bytes()[1:4] == b"PNG"
    command.good("sample", run_folder, "--n", 5, "--out", "deep/x.npy")
    means = np.load("deep/x.npy")
    assert means.shape == (5, 64) and means.min() > 0 and means.max() < 1
    command.good("sample", run_folder, "--n", 5, "--mean", "false", "--out", "draws.npy")
    assert set(np.unique(np.load("draws.npy"))) == {0, 1}
    command.good("sample", run_folder, "--n", 5, "--out", "again.npy")
    assert np.array_equal(means, np.load("again.npy"))
    command.good("sample", run_folder, "--n", 5, "--seed", 1, "--out", "other.npy")
    assert not np.array_equal(means, np.load("other.npy"))


def test_samples_of_what_is_no_image_are_an_array(command):
    command.good("train", *TINY, "--data", "linear_gaussian", "--out", "x")
    assert command.good("sample", "x", "--n", 3).out == "x/samples.npy\n"
    assert np.load("x/samples.npy").shape == (3, 8)
    line = command.bad("sample", "x", "--out", "x.png")
    assert line == "these data are no images: give --out FILE.npy"


def test_explain_shows_each_site(command, run_folder):
    out = command.good("explain", run_folder).out
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert "Normal" in rows["z"] and "analytic" in rows["z"]
    assert "Bernoulli" in rows["x"] and "observed" in rows["x"]


def test_a_class_of_ones_own_trains_and_opens_when_it_is_named(command, own, tmp_path):
    name = f"{own}.Wide"
    command.good("train", *TINY, "--prior", name, "--prior.width", 3.0, "--out", "x")
    assert config_of("x")["prior"] == {"class_path": name, "init_args": {"width": 3.0}}
    report = command.good("evaluate", "x", "--allow", name, "--particles", 5, "--json").json
    assert report["n"] == 50
    command.good("resume", "x", "--allow", name, "--epochs", 2, "--pictures", "false")
    command.good("train", *TINY, "--config", "x/config.yaml", "--out", "y")  # the user's own file


def test_what_a_constructor_hands_on_to_its_base_is_filled_in_too(command, own):
    words = ["--prior", f"{own}.Shifted", "--prior.shift", 0.5]
    command.good("train", *TINY, *words, "--latent", 3, "--out", "x")
    built = RunFolder(Path("x")).open((f"{own}.Shifted",))
    assert built.vae.model.prior().mean.tolist() == [0.5, 0.5, 0.5]
    assert command.bad("train", *TINY, *words[:2]) == "Shifted needs --prior.shift"


@pytest.mark.parametrize("words", [["evaluate"], ["resume"], ["plot"], ["sample"], ["explain"]])
def test_nothing_foreign_is_imported_unless_named(command, own, run_folder, words):
    config = config_of(run_folder)
    spec = {"class_path": f"{own}.Wide"}
    line = f"the run uses {own}.Wide, and nothing outside pyro_vae is imported unless you name it"
    for change in (
        {"prior": spec},
        {"objective": {"class_path": "pyro_vae.ELBO", "init_args": {"kl": spec}}},
    ):
        (run_folder / "config.yaml").write_text(yaml.safe_dump({**config, **change}))
        assert command.bad(*words, run_folder) == f"{line}: add --allow {own}.Wide"
        assert command.bad(*words, run_folder, "--allow", "os.path").startswith(line)
    flow = {"class_path": "pyro_vae.posteriors.Planar", "init_args": {"base": spec["class_path"]}}
    (run_folder / "config.yaml").write_text(yaml.safe_dump({**config, "posterior": flow}))
    assert command.bad(*words, run_folder) == f"{line}: add --allow {own}.Wide"
    for hidden in (f"{own}.Wide", {"class_path": [f"{own}.Wide"]}, [f"{own}.Wide"]):
        (run_folder / "config.yaml").write_text(yaml.safe_dump({**config, "prior": hidden}))
        assert "prior in" in command.bad(*words, run_folder)
    assert own not in sys.modules


def test_a_class_that_our_modules_only_use_is_not_a_part(command, run_folder):
    path = "pyro_vae.cli.folder.Path"
    config = {**config_of(run_folder), "prior": {"class_path": path}}
    (run_folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "folder has no class Path" in command.bad("evaluate", run_folder)


def test_a_part_that_leaves_something_undefined_is_refused(command, own):
    line = command.bad("train", *TINY, "--prior", f"{own}.Half")
    assert line.startswith("--prior: Half cannot stand here; choose from StandardNormal")
