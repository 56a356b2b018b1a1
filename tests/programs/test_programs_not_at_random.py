"""Entries missing by their own values: the mask model makes up for the bias of leaving them out."""

from __future__ import annotations

import copy
import math
import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from pyro_vae import fit
from pyro_vae.checks import check
from pyro_vae.evaluation import evaluate, generate, log_evidence
from pyro_vae.evaluation.impute import impute, multiple_imputations
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import explain
from pyro_vae.objectives.importance import ImportanceWeightedELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, missing
from pyro_vae.programs.not_at_random import Guide, Model, SelfMasking
from pyro_vae.training import CompiledSVI

SIGMA, W = 0.5, (1.0, 0.8, -0.6)
NAN = float("nan")


class Line(nn.Module):
    """z times a given W."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("W", torch.tensor(W, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return z * self.W


class Prior(nn.Module):
    """q(z|x) = p(z): a bad guide, but one that covers the posterior."""

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Normal(x.new_zeros(len(x), 1), 1.0).to_event(1)


def known_truth() -> tuple[Model, Guide]:
    likelihood = Normal(Line(), scale=SIGMA)
    masking = SelfMasking(3, 3, "high")
    model = Model(StandardNormal(1), likelihood, masking).double()
    likelihood.log_scale.fill_(math.log(SIGMA))
    with torch.no_grad():
        masking.slope.copy_(torch.tensor([1.0, 2.0, 0.5]))
        masking.offset.copy_(torch.tensor([0.5, 0.0, 1.0]))
    return model, Guide(Prior(), likelihood)


def exact(model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x_obs, s) and E[x_1|x_obs, s] of rows whose entry 1 alone is missing, on a grid."""
    w = torch.tensor(W, dtype=torch.float64)
    covariance = w.outer(w) + SIGMA**2 * torch.eye(3).double()
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    logs, means = [], []
    for row in x:
        whole = row.expand(len(grid), 3).clone()
        whole[:, 1] = grid
        mask = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
        logits = model.missingness(whole).detach()
        s = dist.Bernoulli(logits=logits).log_prob(mask).sum(-1)
        joint = dist.MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(whole) + s
        logs.append(joint.logsumexp(0) + (grid[1] - grid[0]).log())
        means.append((joint.softmax(0) * grid).sum())
    return torch.stack(logs), torch.stack(means)


def rows(n: int = 6) -> Tensor:
    x = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[:, 1] = NAN
    return x


def test_the_evidence_of_data_and_mask_is_exact():
    """Importance sampling, at 5 standard errors of its own weights: 6 rows, 3e-6."""
    model, guide = known_truth()
    particles = 50_000
    found = log_evidence(model, guide, rows(), particles=particles)
    error = (1 / found.effective_sample_size - 1 / particles).sqrt()
    expected, _ = exact(model, rows())
    assert ((found.log_evidence - expected).abs() < 5 * error).all()
    assert (error < 0.03).all()


def test_imputation_knows_that_missing_values_are_high():
    model, guide = known_truth()
    x = rows()
    _, expected = exact(model, x)
    filled = impute(model, guide, x, particles=50_000)
    # The spread of an entry given the others is below 0.6, and no row is worth under 2,500 draws.
    assert ((filled[:, 1] - expected).abs() < 5 * 0.6 / 2500**0.5).all()
    unaware = missing.Model(model.prior, model.likelihood)
    plain = impute(unaware, missing.Guide(Prior()), x, particles=50_000)
    assert (plain[:, 1] < expected - 0.01).all()
    copies = multiple_imputations(model, guide, x, draws=1000, particles=50_000)
    assert ((copies[..., 1].mean(0) - expected).abs() < 6 * 0.6 / 1000**0.5).all()


def self_masked(n: int = 500) -> tuple[Tensor, Tensor]:
    """Four numbers that share one cause; high values of two of them mostly go missing."""
    g = torch.Generator().manual_seed(3)
    cause = torch.randn(n, 1, generator=g)
    x = cause * torch.tensor([1.0, 1.0, 0.8, -0.9]) + 0.5 * torch.randn(n, 4, generator=g)
    keep = torch.rand(n, 4, generator=g) < (-4 * (x - 0.3)).sigmoid()
    keep[:, 2:] = True
    return x, keep


def aware(sign: str = "high") -> VAE:
    torch.manual_seed(0)
    likelihood = Normal(MLP(1, 4, []))
    model = Model(StandardNormal(1), likelihood, SelfMasking(4, 4, sign))
    return VAE(model, Guide(DiagonalNormal(MLP(4, 2, [16])), likelihood))


def unaware() -> VAE:
    torch.manual_seed(0)
    model = missing.Model(StandardNormal(1), Normal(MLP(1, 4, [])))
    return VAE(model, missing.Guide(DiagonalNormal(MLP(4, 2, [16]))))


def test_a_self_masking_mechanism_is_recovered_better_than_by_ignoring_it():
    x, mask = self_masked()
    errors, bias, slopes = {}, {}, {}
    for name, both in (("aware", aware()), ("unaware", unaware())):
        fit(*both, (x, mask), objective=ImportanceWeightedELBO(10), epochs=100, batch_size=500,
            lr=5e-2, progress=False)  # fmt: skip
        slopes[name] = getattr(getattr(both.model, "missingness", None), "slope", None)
        found = (impute(*both, x, mask, particles=200) - x)[~mask]
        errors[name], bias[name] = found.square().mean().sqrt().item(), found.mean().item()
    # Ignoring the mask learns the mean of what is left, which is far too low.
    assert bias["unaware"] < -0.6 and abs(bias["aware"]) < 0.3
    assert errors["aware"] < 0.7 * errors["unaware"]
    slope = nn.functional.softplus(slopes["aware"])[:2]
    assert ((slope > 1.5) & (slope < 8)).all(), "the truth is 4"


def test_the_drawn_entries_cancel_in_the_weights():
    """With a mask model that ignores x, the weights are those of missing at random, times p(s)."""
    x, mask = self_masked(20)
    both = aware("any")
    plain = VAE(
        missing.Model(both.model.prior, both.model.likelihood), missing.Guide(both.guide.posterior)
    )
    one = log_evidence(*both, x, mask, particles=20_000)
    two = log_evidence(*plain, x, mask, particles=20_000)
    error = (1 / one.effective_sample_size + 1 / two.effective_sample_size).sqrt()
    expected = two.log_evidence - 4 * math.log(2)  # a coin for each entry
    assert ((one.log_evidence - expected).abs() < 5 * error + 1e-4).all()


def test_theta_stays_the_model_s_also_in_a_copy():
    x, mask = self_masked(20)
    both = aware()
    found = check(*both, x, mask)
    assert found.problems == [] and not found.shared
    assert len(found.theta) == len(list(both.model.parameters()))
    twin = copy.deepcopy(both)
    assert twin.guide.proposal[0] is twin.model.likelihood is not both.model.likelihood


def test_it_trains_by_stock_svi_and_compiled_alike():
    x, mask = self_masked(40)
    losses = []
    for kind, options in ((SVI, {}), (CompiledSVI, {"backend": "none", "strict": True})):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        both, steps = aware(), []
        for loss in (Trace_ELBO(), ImportanceWeightedELBO(5)):
            svi = kind(*both, pyro.optim.Adam({"lr": 1e-2}), loss, **options)
            steps += [svi.step(x, mask) for _ in range(10)]
        losses.append(steps)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_it_fits_saves_and_resumes_and_is_clean_in_explain(tmp_path):
    x, mask = self_masked(40)
    assert explain(*aware(), x, mask, objective=ImportanceWeightedELBO(5)).problems == []
    done = []
    for stops in ((4,), (2, 4)):
        both, file = aware(), tmp_path / f"{len(stops)}.pt"
        for epochs in stops:
            resume = file if file.exists() else None
            fit(*both, (x, mask), objective=ImportanceWeightedELBO(5), epochs=epochs, seed=1,
                schedule="constant", validation=(x, mask), checkpoint=file, resume=resume,
                restore_best=False, progress=False)  # fmt: skip
        done.append([p.detach().clone() for p in both.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*done, strict=True))
    assert math.isfinite(evaluate(*both, x, mask, particles=20).nll)
    assert generate(both.model, x, n=5, site="x", mean=False).shape == (5, 4)


def test_discrete_entries_train_by_the_score_function():
    x = (torch.rand(30, 4) < 0.5).float()
    x[torch.rand(30, 4) < 0.3] = NAN
    likelihood = Bernoulli(MLP(1, 4, [4]))
    model = Model(StandardNormal(1), likelihood, SelfMasking(4, 4))
    guide = Guide(DiagonalNormal(MLP(4, 2, [4])), likelihood)
    history = fit(model, guide, x, objective=ImportanceWeightedELBO(5), epochs=3, progress=False)
    assert math.isfinite(history["loss"][-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a row may have lost everything
        copies = multiple_imputations(model, guide, x, draws=3, particles=20)
    assert set(copies.unique().tolist()) == {0.0, 1.0}


def test_bad_parts_are_told():
    with pytest.raises(ValueError, match="take scale='shared'"):
        Model(StandardNormal(1), Normal(MLP(1, 4), scale="optimal"), SelfMasking(4, 4))
    with pytest.raises(ValueError, match=r"inputs are \(4,\) and outputs \(3,\)"):
        SelfMasking(4, 3)
    with pytest.raises(ValueError, match="missing is 'high', 'low' or 'any', not 'up'"):
        SelfMasking(4, 4, "up")
    low = SelfMasking(1, 1, "low")(torch.tensor([-1.0, 1.0]).unsqueeze(-1))
    assert low[0] < low[1]


def test_entries_that_nobody_saw_are_no_units_of_the_code():
    model, guide = known_truth()
    x = torch.randn(20, 3, dtype=torch.float64)
    x[::2, 1] = NAN
    assert evaluate(model, guide, x, particles=2).latent == 1  # z, and not the three of x_missing
