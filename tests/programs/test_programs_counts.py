"""Counts given their total."""

from __future__ import annotations

import math

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor

from pyro_vae import fit
from pyro_vae.evaluation import evaluate, log_evidence
from pyro_vae.likelihoods import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from pyro_vae.networks import MLP
from pyro_vae.objectives import explain
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE
from pyro_vae.programs.counts import Guide, Model
from pyro_vae.terms import ProgramError, site_terms
from pyro_vae.training import CompiledSVI

LIKELIHOODS = [Poisson, NegativeBinomial, ZeroInflatedNegativeBinomial]


def cells(n: int = 60) -> Tensor:
    g = torch.Generator().manual_seed(0)
    shares = (torch.randn(n, 2, generator=g) @ torch.randn(2, 8, generator=g)).softmax(-1)
    depth = torch.exp(torch.randn(n, 1, generator=g) + 4)
    return torch.poisson(depth * shares, generator=g)


def pair(likelihood: type = Poisson) -> VAE:
    torch.manual_seed(0)
    model = Model(StandardNormal(2), likelihood(MLP(2, likelihood.outputs((8,)), [16])))
    return VAE(model, Guide(DiagonalNormal(MLP(8, 4, [16]))))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_each_trains_by_svi_compiled_and_fit(likelihood):
    x, losses = cells(), []
    for kind, options in ((SVI, {}), (CompiledSVI, {"backend": "none", "strict": True})):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = kind(*pair(likelihood), pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO(), **options)
        losses.append([svi.step(x) for _ in range(15)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    both = pair(likelihood)
    assert explain(*both, x).problems == []
    history = fit(*both, x, epochs=30, lr=1e-2, progress=False)
    assert history["elbo"][-1] > history["elbo"][0]


def test_the_totals_are_the_default_library():
    x = cells()
    both = pair()
    one = log_evidence(*both, x, particles=5).log_evidence
    assert torch.equal(one, log_evidence(*both, x, x.sum(-1), particles=5).log_evidence)
    other = log_evidence(*both, x, 2 * x.sum(-1), particles=5).log_evidence
    assert (other < one).all(), "twice the counts were to be expected"


def test_totals_explain_the_depth():
    """Among cells that differ in depth alone no latent is needed: it stays unused."""
    g = torch.Generator().manual_seed(0)
    depth = torch.exp(torch.randn(300, 1, generator=g) + 4)
    x = torch.poisson(depth * torch.linspace(-2, 2, 8).softmax(-1), generator=g)
    both = pair()
    fit(*both, x, epochs=40, batch_size=300, lr=3e-2, progress=False)
    assert evaluate(*both, x, particles=10).kl < 0.3


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_cell_without_counts_harms_no_other(likelihood):
    x = cells(10)
    both = pair(likelihood)
    empty = x.clone()
    empty[4] = 0
    weights = []
    for cells_ in (x, empty):
        pyro.set_rng_seed(0)
        weights.append(site_terms(*both, cells_).log_weights[0])
    rest = [i for i in range(10) if i != 4]
    assert torch.equal(weights[0][rest], weights[1][rest])
    x = empty
    log_p = log_evidence(*both, x, particles=5000).log_evidence[4]
    assert abs(log_p) < 0.1, "of no counts, none is certain"
    fit(*both, x, epochs=2, progress=False)
    assert all(p.isfinite().all() for p in both.parameters())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [(-3.0, r"contain -3 at \[2, 1\], outside the support"), (0.5, r"contain 0.5 at \[2, 1\]"),
     (math.inf, r"contain inf at \[2, 1\]"), (math.nan, r"contain nan at \[2, 1\]")],
)  # fmt: skip
def test_bad_counts_are_told_in_one_line(likelihood, bad, message):
    x = cells()
    x[2, 1] = bad
    with pytest.raises(ProgramError, match=message) as error:
        fit(*pair(likelihood), x, progress=False)
    assert "\n" not in str(error.value)


def test_a_library_of_another_shape_is_told():
    x = cells()
    with pytest.raises(ProgramError, match=r"library is one total for each example"):
        fit(*pair(), (x, x[:, :3]), progress=False)
