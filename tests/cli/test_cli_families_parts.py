"""Parts that look at the model or at the guide, in each family that can take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cli_calls import NETS
from pyro import poutine

from pyro_vae.cli.build import Built, build
from pyro_vae.cli.options import as_config, training_parser
from pyro_vae.objectives import ELBO

#: Families by the words that name them.
ONE_LATENT = {
    "vae": [],
    "clustering": ["--program.clusters", 3],
    "denoising": [],
    "conditional": [],
    "conditional half": ["--program.given", "half"],
    "counts": ["--data", "counts.npy"],
    "missing": ["--program.append_mask", "true"],
    "semi_supervised": ["--program.labels", 20],
}
WITH_POSTERIOR = {**ONE_LATENT, "missing zeros": [], "not_at_random": []}


@pytest.fixture(autouse=True)
def counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("counts.npy", np.random.default_rng(1).poisson(3.0, size=(60, 5)))


def built_from(family: str, words: list, *others: object) -> Built:
    words = ["--program", family.split()[0], *NETS, *words, *others, "--limit", 40]
    return build(as_config(training_parser().parse_args([str(word) for word in words])))


def log_density(model, arguments, **given):
    """log p of all sites of a model with its latents given, for each example."""
    trace = poutine.trace(poutine.condition(model, data=given)).get_trace(*arguments)
    trace.compute_log_prob()
    sites = [s for s in trace.nodes.values() if s["type"] == "sample" and s["name"] != "data"]
    assert all(site["is_observed"] for site in sites)
    return sum(site["log_prob"] for site in sites)


@pytest.mark.parametrize("family", ONE_LATENT)
def test_a_posterior_that_uses_the_model_gets_its_joint_density(family):
    built = built_from(family, ONE_LATENT[family], "--posterior", "SemiAmortized")
    model, guide = built.vae
    arguments, z = built.split("train", limit=6), torch.randn(6, 2)
    x = arguments[0]
    if family == "clustering":
        c = [torch.full((6,), k) for k in range(3)]
        expected = torch.stack([log_density(model, arguments, c=k, z=z) for k in c]).logsumexp(0)
    elif family == "semi_supervised":
        y = torch.eye(10)[torch.arange(6)]
        expected = log_density(model, (x,), y=y, z=z)
    else:
        expected = log_density(model, arguments, z=z)
    seen = torch.cat([x, y], 1) if family == "semi_supervised" else None
    seen = built.family.seen(guide, *arguments) if seen is None else seen
    torch.testing.assert_close(guide.posterior.log_joint(seen, z), expected)
    assert not any("log_joint" in name for name, _ in built.vae.named_parameters())
    for kind in ("SemiAmortized", "Hamiltonian"):
        built = built_from(family, ONE_LATENT[family], "--posterior", kind)
        assert np.isfinite(ELBO().loss(*built.vae, *arguments))


@pytest.mark.parametrize("family", WITH_POSTERIOR)
def test_a_prior_that_uses_the_posterior_begins_at_what_that_sees(family):
    words = [word for word in WITH_POSTERIOR[family] if word not in ("--program.clusters", 3)]
    built = built_from(family, words, "--prior", "VampPrior", "--prior.components", 7)
    model, guide = built.vae
    assert model.prior.posterior is guide.posterior
    x, *others = built.raw("train")
    seen = built.family.seen(guide, x, *others)
    pairs = model.prior.pseudo_inputs.flatten(1)[:, None] == seen.flatten(1)
    assert pairs.all(-1).any(1).all()
    arguments = built.split("train")
    q = poutine.trace(guide).get_trace(*arguments).nodes["z"]["fn"]
    assert q.event_shape == model.prior().event_shape == (2,)
    assert np.isfinite(ELBO().loss(model, guide, *arguments))
    # The prior of the whole latent, with gradients into the guide's network.
    loss = ELBO().differentiable_loss(model, guide, *arguments)
    loss.backward()
    assert model.prior.raw_inputs.grad.abs().sum() > 0


def test_clusters_begin_apart_whatever_the_posterior():
    built = built_from("clustering", ONE_LATENT["clustering"])
    assert built.config["prior"]["class_path"] == "pyro_vae.priors.VampPrior"
    x, inputs = built.raw("train")[0].flatten(1), built.vae.model.prior.pseudo_inputs
    # An example near each centre of k-means: of each other's nearest, one.
    nearest = torch.cdist(x, inputs).argmin(1)
    assert nearest.bincount(minlength=3).min() >= 3
    built = built_from(
        "clustering", ONE_LATENT["clustering"], "--posterior", "FullCovarianceNormal"
    )
    assert built.config["prior"]["class_path"] == "pyro_vae.priors.MixtureOfNormals"
    prior, posterior = built.vae.model.prior, built.vae.guide.posterior
    codes = posterior(inputs).mean  # k-means finds the same three, in whatever order
    among, between = (torch.pdist(means).sort().values for means in (prior.loc, codes))
    torch.testing.assert_close(among / among[-1], between / between[-1], atol=1e-4, rtol=0.0)
