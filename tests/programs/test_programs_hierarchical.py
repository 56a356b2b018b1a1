"""Hierarchies: each guide trains in every way, and bad input is told in one line."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from trained_ways import trains_everywhere

from pyro_vae import explain, fit
from pyro_vae.evaluation import decode, evaluate, generate
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.objectives import FreeBits
from pyro_vae.posteriors import DiagonalNormal, FullCovarianceNormal
from pyro_vae.priors import MixtureOfNormals, StandardNormal
from pyro_vae.programs import VAE, hierarchical, residual
from pyro_vae.terms import site_terms

X = (torch.rand(20, 6, generator=torch.Generator().manual_seed(3)) < 0.5).float()
SIZES = (4, 3, 2)  # of z1, z2, z3


def normal(inputs: int, latent: int) -> DiagonalNormal:
    return DiagonalNormal(MLP(inputs, 2 * latent, [5]))


def model() -> hierarchical.Model:
    torch.manual_seed(0)
    layers = [normal(3, 4), normal(2, 3)]
    return hierarchical.Model(StandardNormal(2), layers, Bernoulli(MLP(4, 6, [5])))


def bottom_up() -> VAE:
    made = model()
    return VAE(made, hierarchical.Guide([normal(6, 4), normal(4, 3), normal(3, 2)]))


def top_down() -> VAE:
    made = model()
    up = [MLP(6, 5, [5]), MLP(5, 5, [5]), MLP(5, 5, [5])]
    posteriors = [DiagonalNormal(MLP(5, 2 * size, [])) for size in SIZES]
    return VAE(made, hierarchical.LadderGuide(up, posteriors, made.layers))


def deep() -> VAE:
    torch.manual_seed(0)
    stream = residual.Stream(layers=3, latent=2, width=5, hidden=[4])
    guide = residual.Guide(stream, MLP(6, 3, [4]), [normal(5 + 3, 2) for _ in range(3)])
    return VAE(residual.Model(stream, Bernoulli(MLP(5, 6, [4]))), guide)


WAYS = {"bottom up": bottom_up, "top down": top_down, "deep": deep}


@pytest.mark.parametrize("way", WAYS)
def test_it_trains_in_every_way(way, tmp_path):
    trains_everywhere(WAYS[way](), (X,), tmp_path, mean_field=way != "bottom up")


@pytest.mark.parametrize("way", WAYS)
def test_particles_are_runs_of_each_example(way):
    pair = WAYS[way]()
    terms = site_terms(*pair, X, particles=7)
    assert terms.log_weights.shape == (7, 20)
    assert set(terms) == {"z1", "z2", "z3", "x"}
    # An example's weights do not depend on who else is in the batch: same draws, one by one.
    values = {name: terms[name].value for name in ("z1", "z2", "z3")}
    for row in (0, 13):
        one = {name: value[:, row : row + 1] for name, value in values.items()}
        conditioned = pyro.poutine.condition(pair.model, data=one)
        with pyro.plate("particles", 7, dim=-2):
            trace = pyro.poutine.trace(conditioned).get_trace(X[row : row + 1])
        trace.compute_log_prob()
        log_p = sum(trace.nodes[name]["log_prob"] for name in terms)
        expected = sum(terms[name].log_p[:, row : row + 1] for name in terms)
        torch.testing.assert_close(log_p, expected)


@pytest.mark.parametrize("way", WAYS)
def test_the_kl_is_analytic_where_that_is_right(way):
    pair = WAYS[way]()
    rows = {row[0]: row[6] for row in explain(*pair, X).rows}
    late = "sampled" if way == "bottom up" else "analytic"
    assert rows == {"z3": "analytic", "z2": late, "z1": late, "x": ""}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_evaluated_generates_and_decodes_by_layer(way):
    pair = WAYS[way]()
    report = evaluate(*pair, X, particles=20)
    assert report.latent == (6 if way == "deep" else 9)
    assert generate(pair.model, X, 5).shape == (5, 6)
    top = torch.zeros(4, 2)
    assert decode(pair.model, X, top, site="z3").shape == (4, 6)


def test_what_model_and_guide_share_is_one_parameter():
    pair = top_down()
    shared = {id(p) for p in pair.model.layers.parameters()}
    assert shared <= {id(p) for p in pair.guide.parameters()}
    assert {id(p) for p in pair.model.likelihood.parameters()}.isdisjoint(
        {id(p) for p in pair.guide.parameters()}
    )
    assert "are the model's too" in str(explain(*pair, X))


def test_any_prior_and_posterior_and_objective_fit():
    torch.manual_seed(0)
    layers = [FullCovarianceNormal(MLP(2, 9, [4]))]
    made = hierarchical.Model(MixtureOfNormals(2, components=3), layers, Bernoulli(MLP(3, 6)))
    guide = hierarchical.Guide([FullCovarianceNormal(MLP(6, 9, [4])), normal(3, 2)])
    history = fit(
        made, guide, X, objective=FreeBits(0.1, per="site"), epochs=2, batch_size=10, progress=False
    )
    assert torch.tensor(history["elbo"]).isfinite().all()


def test_without_layers_it_is_the_vae():
    torch.manual_seed(0)
    made = hierarchical.Model(StandardNormal(2), [], Bernoulli(MLP(2, 6)))
    terms = site_terms(made, hierarchical.Guide([normal(6, 2)]), X)
    assert list(terms) == ["z1", "x"]


def test_the_residual_path_begins_small():
    torch.manual_seed(0)
    stream = residual.Stream(layers=16, latent=2, width=32, hidden=[32])
    h = torch.randn(1000, 32)
    z = torch.zeros(1000, 2)
    with_z = h + stream.adds[0](z)
    added = stream.down(1, h, z) - with_z
    assert 0 < added.std() < 0.25 * h.std()
    torch.testing.assert_close(added, stream.residuals[0](with_z), rtol=1e-4, atol=1e-5)


class Uniform(nn.Module):
    def forward(self, x: torch.Tensor) -> dist.TorchDistribution:
        return dist.Uniform(x.new_zeros(len(x), 4), 1.0).to_event(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hierarchical.Guide([]), "a guide has at least one layer"),
        (
            lambda: hierarchical.LadderGuide([nn.Identity()], [normal(6, 4)], model().layers),
            "1 networks up and 1 posteriors for a model of 3 layers",
        ),
        (lambda: residual.Stream(0, 2), "layers is at least 1, not 0"),
        (
            lambda: residual.Guide(residual.Stream(3, 2, 5), MLP(6, 3), [normal(8, 2)]),
            "1 posteriors for a stream of 3 layers",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_normal_cannot_join_the_ladder():
    made = model()
    up = [nn.Identity()] * 3
    guide = hierarchical.LadderGuide(up, [Uniform(), normal(6, 3), normal(6, 2)], made.layers)
    found = explain(made, guide, X)
    assert "a ladder multiplies diagonal normals" in found.problems[0]


def test_a_guide_with_fewer_layers_is_told():
    found = explain(model(), hierarchical.Guide([normal(6, 4), normal(4, 3)]), X)
    assert "latent site 'z3' is in the model only" in found.problems[0]
