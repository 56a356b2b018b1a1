"""A guide that sees spoilt data, and the bound that its training optimises."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian_programs import known
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from pyro_vae import fit
from pyro_vae.evaluation import evaluate, reconstruct
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.objectives import explain, split
from pyro_vae.objectives.importance import ImportanceWeightedELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE
from pyro_vae.programs.corruption import AdditiveNoise, Dropout, Masking, SaltAndPepper
from pyro_vae.programs.denoising import Guide, Model
from pyro_vae.terms import ProgramError, site_terms
from pyro_vae.training import CompiledSVI

#: Each corruption with the mean and the variance that it gives an entry x.
CORRUPTIONS = {
    "noise": (AdditiveNoise(0.6), lambda x: (x, torch.full_like(x, 0.36))),
    "dropout": (Dropout(0.3), lambda x: (x, x**2 * 0.3 / 0.7)),
    "masking": (Masking(0.3, 0.5), lambda x: (0.7 * x + 0.15, 0.21 * (x - 0.5) ** 2)),
    "salt and pepper": (
        SaltAndPepper(0.4, -1.0, 2.0),
        lambda x: (0.6 * x + 0.2, 0.6 * x**2 + 0.4 * 2.5 - (0.6 * x + 0.2) ** 2),
    ),
}


class Linear(nn.Module):
    """N(A (x - mean), S)."""

    def __init__(self, A: Tensor, mean: Tensor, S: Tensor) -> None:
        super().__init__()
        self.A, self.mean, self.S = A, mean, S

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.MultivariateNormal((x - self.mean) @ self.A.T, self.S)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_bound_has_its_closed_form(name):
    """log p is quadratic in z, so the first two moments of the spoilt x decide.

    The mean of 40,000 bounds at 5 of its standard errors: a false alarm in 1.7 million.
    """
    corruption, moments = CORRUPTIONS[name]
    case = known(n=1)
    truth = case.truth
    zero, S = truth.posterior(truth.mean.unsqueeze(0))
    A = S @ truth.W.T / truth.sigma**2
    guide = Guide(Linear(A, truth.mean, S), corruption)
    x = case.x.expand(40_000, -1)
    with torch.no_grad():
        bounds = split(site_terms(case.model, guide, x)).elbo

    mean, variance = moments(case.x[0])
    m = A @ (mean - truth.mean)
    C = S + A @ variance.diag() @ A.T  # of z, spoilt copies and all
    error = case.x[0] - truth.mean - truth.W @ m
    features, latent = truth.W.shape
    log_p = -0.5 * (
        m @ m + C.trace() + latent * math.log(2 * math.pi)
        + (error @ error + (truth.W @ C @ truth.W.T).trace()) / truth.sigma**2
        + features * math.log(2 * math.pi * truth.sigma**2)
    )  # fmt: skip
    bound = log_p + dist.MultivariateNormal(torch.zeros_like(m), S).entropy()
    assert abs(bounds.mean() - bound) < 5 * bounds.std() / len(bounds) ** 0.5
    # For normal noise the mixture over copies is a normal, whose own ELBO lies between.
    if name == "noise":
        mixture = log_p + dist.MultivariateNormal(torch.zeros_like(m), C).entropy()
        assert bound < mixture < truth.log_evidence(case.x)[0]
    assert zero.abs().max() < 1e-12


def test_evaluation_sees_clean_data():
    case = known()
    mean = case.truth.mean
    _, S = case.truth.posterior(case.x)
    A = S @ case.truth.W.T / case.truth.sigma**2
    guide = Guide(Linear(A, mean, S), AdditiveNoise(5.0))
    report = evaluate(case.model, guide, case.x, particles=2)
    assert report.nll == pytest.approx(-case.truth.log_evidence(case.x).mean().item(), abs=1e-9)
    assert guide.training


def pair(corruption: nn.Module) -> VAE:
    torch.manual_seed(0)
    model = Model(StandardNormal(2), Bernoulli(MLP(2, 12, [16])))
    return VAE(model, Guide(DiagonalNormal(MLP(12, 4, [16])), corruption))


def stripes(n: int = 200) -> Tensor:
    g = torch.Generator().manual_seed(0)
    kind = torch.randint(0, 3, (n,), generator=g)
    return torch.eye(3).repeat_interleave(4, dim=1)[kind]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_trains_by_stock_svi_and_compiled_alike(name):
    x, losses = stripes(50), []
    for kind, options in ((SVI, {}), (CompiledSVI, {"backend": "none", "strict": True})):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        both, steps = pair(CORRUPTIONS[name][0]), []
        for loss in (Trace_ELBO(), ImportanceWeightedELBO(3)):
            svi = kind(*both, pyro.optim.Adam({"lr": 1e-2}), loss, **options)
            steps += [svi.step(x) for _ in range(8)]
        losses.append(steps)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_guide_trained_on_spoilt_data_reads_spoilt_data():
    x = stripes()
    torch.manual_seed(1)
    spoilt = Masking(0.5).corrupt(x)
    errors = {}
    for name, corruption in (("plain", nn.Identity()), ("denoising", Masking(0.5))):
        both = pair(corruption)
        fit(*both, x, epochs=200, batch_size=200, lr=2e-2, progress=False)
        seen = spoilt.any(1)
        errors[name] = (reconstruct(*both, spoilt) - x)[seen].square().mean().item()
    assert errors["denoising"] < 0.5 * errors["plain"]


def test_it_saves_resumes_and_is_clean_in_explain(tmp_path):
    x = stripes(50)
    assert explain(*pair(Dropout()), x).problems == []
    done = []
    for stops in ((4,), (2, 4)):
        both, file = pair(Dropout()), tmp_path / f"{len(stops)}.pt"
        for epochs in stops:
            resume = file if file.exists() else None
            fit(*both, x, epochs=epochs, batch_size=20, schedule="constant", validation=x,
                checkpoint=file, resume=resume, restore_best=False, progress=False)  # fmt: skip
        done.append([p.detach().clone() for p in both.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*done, strict=True))


def test_bad_options_and_data_are_told():
    with pytest.raises(ValueError, match="scale is a positive number, not 0"):
        AdditiveNoise(0)
    for kind in (Masking, Dropout, SaltAndPepper):
        with pytest.raises(ValueError, match="rate is a probability from 0 to below 1, not 1"):
            kind(1)
    x = stripes(10)
    x[3, 2] = math.inf
    with pytest.raises(ProgramError, match=r"data at site 'x' contain inf at \[3, 2\]"):
        fit(*pair(Masking(0.5)), x, progress=False)
