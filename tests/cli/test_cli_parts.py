"""Every part that `list` shows can be named, built, kept and opened again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from cli_calls import NETS

from pyro_vae.cli.build import build
from pyro_vae.cli.options import add_out_options, add_run_options, as_config, training_parser
from pyro_vae.cli.part_checks import slot_of
from pyro_vae.cli.parts import SLOTS, known_parts, options_of
from pyro_vae.cli.run_config import read_config
from pyro_vae.objectives import ELBO

#: What a part needs to be told, where it has an option without a default.
NEEDED = {
    ("likelihood", "levels"): "2",
    ("likelihood", "families"): "[Normal, Laplace, Normal]",
    ("objective", "tolerance"): "10",
    ("objective", "betas"): "{z: 2.0}",
}
#: Families, and the parts that are but theirs, are trained in `test_cli_families`.
SHARED = [slot for slot in SLOTS if slot != "program" and SLOTS[slot].within is None]
ALL = [(slot, name) for slot in SHARED for name in known_parts(slot)]


@pytest.mark.parametrize(("slot", "name"), ALL)
def test_a_part_that_is_listed_can_be_built_and_opened_again(slot, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    arrays = {
        "binary": generator.integers(0, 2, size=(20, 3)),
        "grey": generator.uniform(0.01, 0.99, size=(20, 3)),
        "counts": generator.integers(0, 9, size=(20, 3)),
        "real": generator.normal(size=(20, 3)),
    }
    kind = known_parts(slot)[name]
    images = getattr(kind, "images", False)
    data = arrays[getattr(kind, "values", "binary")]
    np.save("data.npy", data.reshape(-1, 3, 1) if images else data)
    words = ["--data", "data.npy", *NETS, f"--{slot}", name]
    if slot in ("encoder", "decoder"):
        words = ["--data", "data.npy", "--latent", "2", f"--{slot}", name]
    for option, found in options_of(kind).items():
        if found.required and slot_of(found.hint) is None:  # a part has a default
            words += [f"--{slot}.{option}", NEEDED[slot, option]]
    if slot == "objective" and "particles" in options_of(kind):
        words += ["--objective.particles", "2"]  # one is too few for some
    parser = training_parser()
    add_run_options(parser)
    add_out_options(parser)
    config = as_config(parser.parse_args(words))
    built = build(config)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(built.config))
    assert build(read_config(tmp_path / "config.yaml")).config == built.config
    if slot == "likelihood":
        # What the decoder is asked for is what the likelihood takes.
        z = torch.zeros(4, 2)
        assert built.vae.model.likelihood(z).event_shape == built.dataset.event_shape
    if slot == "posterior":
        (x,) = built.split("train", limit=4)
        assert built.vae.guide.posterior(x).event_shape == (2,)
    if slot == "prior":
        assert built.vae.model.prior().event_shape == (2,)


def test_a_posterior_that_asks_for_the_joint_density_gets_that_of_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--posterior", "SemiAmortized"]
    config = as_config(training_parser().parse_args(["--limit", "20", *NETS, *words]))
    built = build(config)
    posterior = built.vae.guide.posterior
    (x,), z = built.split("test", limit=4), torch.randn(4, 2)
    prior, likelihood = built.vae.model.prior, built.vae.model.likelihood
    expected = prior().log_prob(z) + likelihood(z).log_prob(x)
    torch.testing.assert_close(posterior.log_joint(x, z), expected)
    assert np.isfinite(ELBO().loss(*built.vae, x))
    assert not any("log_joint" in name for name, _ in built.vae.named_parameters())


def test_a_prior_that_asks_for_the_posterior_gets_that_of_the_guide():
    words = ["--prior", "VampPrior", "--prior.components", "3"]
    built = build(as_config(training_parser().parse_args(["--limit", "20", *NETS, *words])))
    assert built.vae.model.prior.posterior is built.vae.guide.posterior
    assert built.vae.model.prior().event_shape == (2,)


def test_a_short_name_and_an_import_path_are_the_same():
    short, long = (
        as_config(training_parser().parse_args(["--posterior", "Planar", "--posterior.base", name]))
        for name in ("StudentT", "pyro_vae.posteriors.StudentT")
    )
    assert short == long
    assert short["posterior"]["init_args"]["base"] == "pyro_vae.posteriors.StudentT"
