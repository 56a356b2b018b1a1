"""Missing entries: left out of the likelihood, unseen by the guide, and filled in from the rest."""

from __future__ import annotations

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian_programs import known as linear_gaussian
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn

from pyro_vae import fit
from pyro_vae.data import LinearGaussian
from pyro_vae.evaluation import evaluate, generate, log_evidence
from pyro_vae.evaluation.impute import impute, multiple_imputations
from pyro_vae.likelihoods import Beta, Mixed, NegativeBinomial, Normal, Poisson, StudentT
from pyro_vae.networks import MLP, ConvDecoder, ConvEncoder
from pyro_vae.objectives import ELBO, explain
from pyro_vae.objectives.importance import ImportanceWeightedELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, vae
from pyro_vae.programs.missing import Guide, Model, known
from pyro_vae.terms import ProgramError, site_terms
from pyro_vae.training import CompiledSVI

NAN = float("nan")


class Exact(nn.Module):
    """q(z|x_obs), the posterior of a linear-Gaussian model, whatever is known of each row."""

    def __init__(self, truth: LinearGaussian, widen: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.truth, self.widen, self.shift = truth, widen, shift

    def forward(self, seen: Tensor) -> dist.TorchDistribution:
        x, there = seen.chunk(2, -1)
        truth = self.truth
        W = truth.W * there.unsqueeze(-1)
        precision = torch.eye(truth.latent).to(W) + W.mT @ W / truth.sigma**2
        d = ((x - truth.mean) * there).unsqueeze(-1)
        mean = torch.linalg.solve(precision, W.mT @ d).squeeze(-1) / truth.sigma**2
        return dist.MultivariateNormal(mean + self.shift, self.widen * torch.linalg.inv(precision))


class Affine(nn.Module):
    def __init__(self, truth: LinearGaussian) -> None:
        super().__init__()
        self.truth = truth

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.truth.W.T + self.truth.mean


def exact(widen: float = 1.0, n: int = 30) -> tuple[Model, Guide, Tensor, Tensor, LinearGaussian]:
    case = linear_gaussian(n=n)
    mask = torch.rand(case.x.shape, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[0], mask[1] = True, False
    likelihood = Normal(Affine(case.truth), scale=case.truth.sigma)
    model = Model(StandardNormal(3), likelihood).double()
    likelihood.log_scale.fill_(math.log(case.truth.sigma))  # which single precision had rounded
    return model, Guide(Exact(case.truth, widen), True), case.x, mask, case.truth


def conditional(truth: LinearGaussian, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x_obs), and mean and covariance of x_mis given it, of one row by the joint normal."""
    S = truth.W @ truth.W.T + truth.sigma**2 * torch.eye(truth.features).to(truth.W)
    o, m = there, ~there
    evidence = x.new_zeros(())
    if o.any():
        p = dist.MultivariateNormal(truth.mean[o], S[o][:, o])
        evidence = p.log_prob(x[o])
    gain = S[m][:, o] @ torch.linalg.inv(S[o][:, o])
    mean = truth.mean[m] + gain @ (x[o] - truth.mean[o])
    return evidence, mean, S[m][:, m] - gain @ S[o][:, m]


def table(n: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, 1, generator=generator) + 0.3 * torch.randn(n, 4, generator=generator)
    mask = torch.rand(n, 4, generator=generator) < 0.7
    mask[:, 0] = True
    return x, mask


def pair(append: bool = False) -> VAE:
    torch.manual_seed(0)
    model = Model(StandardNormal(2), StudentT(MLP(2, 8, [8]), scale="per-pixel"))
    return VAE(model, Guide(DiagonalNormal(MLP(4 * (1 + append), 4, [8])), append))


def test_the_weights_are_the_evidence_of_what_is_known():
    model, guide, x, mask, truth = exact()
    weights = site_terms(model, guide, x, mask, particles=3).log_weights
    expected = torch.stack([conditional(truth, *row)[0] for row in zip(x, mask, strict=True)])
    torch.testing.assert_close(weights, expected.expand(3, -1), rtol=0, atol=1e-9)
    assert expected[1] == 0, "nothing known, nothing learned"


def test_half_a_row_is_the_smaller_model():
    """The bound of rows of which one half is known equals that of the model of that half."""
    model, guide, x, _, truth = exact(widen=2.0)
    mask = torch.zeros_like(x, dtype=torch.bool)
    mask[:, :3] = True
    half = LinearGaussian(truth.W[:3], truth.mean[:3], truth.sigma)
    small = vae.Model(StandardNormal(3), Normal(Affine(half), scale=truth.sigma)).double()
    small.likelihood.log_scale.fill_(math.log(truth.sigma))

    def small_guide(x):
        full = torch.cat([x, torch.ones_like(x)], -1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", Exact(half, 2.0)(full))

    for objective in (ELBO(kl="analytic"), ImportanceWeightedELBO(5)):
        pyro.set_rng_seed(1)
        one = objective.loss(model, guide, x, mask)
        pyro.set_rng_seed(1)
        assert one == pytest.approx(objective.loss(small, small_guide, x[:, :3]), rel=1e-12)


def test_single_imputation_is_the_exact_conditional_mean():
    """With the exact posterior all weights are equal: the error is that of K plain draws."""
    model, guide, x, mask, truth = exact()
    particles = 20_000
    with pytest.warns(UserWarning, match=r"nothing is known of 1 of 30 rows \(the first is 1\)"):
        found = impute(model, guide, x, mask, particles=particles)
    assert torch.equal(found[mask], x[mask])
    worst = 0.0
    for row, there, filled in zip(x, mask, found, strict=True):
        _, mean, covariance = conditional(truth, row, there)
        # Of E[x|z], whose variance leaves the noise out: 60 entries at 5 errors, 3e-5 in all.
        error = ((covariance.diagonal() - truth.sigma**2) / particles).sqrt()
        worst = max([worst, *((filled[~there] - mean).abs() / error).tolist()])
    assert worst < 5


def test_a_wrong_guide_is_put_right_by_the_weights():
    model, guide, x, mask, truth = exact(widen=2.0)
    guide.posterior.shift = 0.3
    x, mask = x[2:], mask[2:]
    found = impute(model, guide, x, mask, particles=20_000)
    for row, there, filled in zip(x, mask, found, strict=True):
        _, mean, covariance = conditional(truth, row, there)
        error = 4 * ((covariance.diagonal() - truth.sigma**2) / 20_000).sqrt()
        assert ((filled[~there] - mean).abs() < 5 * error).all()


@pytest.mark.parametrize("memory", [None, 2**17])
def test_multiple_imputations_have_the_exact_mean_and_covariance(memory):
    """Also where the particles come in many parts."""
    model, guide, x, mask, truth = exact(widen=1.5, n=4)
    mask[:] = torch.tensor([True, False, True, False, True])
    draws = 2000
    found = multiple_imputations(
        model, guide, x, mask, draws=draws, particles=20_000, memory=memory
    )
    assert found.shape == (draws, *x.shape)
    assert torch.equal(found[:, mask], x[mask].expand(draws, -1))
    for i in range(4):
        _, mean, covariance = conditional(truth, x[i], mask[i])
        got = found[:, i][:, ~mask[i]]
        scale = covariance.diagonal().sqrt()
        # Draws share particles (2,000 of 20,000): errors a little above those of plain draws.
        assert ((got.mean(0) - mean).abs() < 6 * scale / math.sqrt(draws)).all()
        limit = 8 * scale.outer(scale) / math.sqrt(draws)
        assert ((got.T.cov() - covariance).abs() < limit).all()


def test_nan_and_a_mask_say_the_same():
    x, mask = table()
    both = pair()
    holes = torch.where(mask, x, NAN)
    one = log_evidence(*both, holes, particles=10)
    two = log_evidence(*both, x, mask, particles=10)
    assert torch.equal(one.log_evidence, two.log_evidence)
    assert torch.equal(impute(*both, holes, particles=20), impute(*both, x, mask, particles=20))
    assert torch.equal(known(holes, mask)[1], mask)


def test_the_gradient_of_a_row_without_anything_is_the_guide_s_alone():
    both = pair()
    x = torch.full((1, 4), NAN)
    ELBO().loss_and_grads(*both, x)
    assert all((p.grad is None) or (p.grad == 0).all() for p in both.model.parameters())
    grads = [p.grad for p in both.guide.parameters()]
    assert all(g is not None and g.isfinite().all() for g in grads)


def test_it_trains_by_stock_svi_and_compiled_alike():
    x, mask = table()
    losses = {}
    for kind, options in ((SVI, {}), (CompiledSVI, {"backend": "none", "strict": True})):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        both = pair(append=True)
        for loss in (Trace_ELBO(), ImportanceWeightedELBO(5)):
            svi: Any = kind(*both, pyro.optim.Adam({"lr": 1e-2}), loss, **options)
            losses[kind] = [*losses.get(kind, []), *[svi.step(x, mask) for _ in range(20)]]
    assert losses[SVI] == pytest.approx(losses[CompiledSVI], rel=1e-4)
    assert losses[SVI][19] < losses[SVI][0]


def test_the_mean_field_elbo_of_pyro_takes_it():
    x, mask = table()
    both = pair()
    assert math.isfinite(SVI(*both, pyro.optim.Adam({}), TraceMeanField_ELBO()).step(x, mask))


def test_it_fits_saves_resumes_and_is_clean_in_explain(tmp_path):
    x, mask = table()
    holes = torch.where(mask, x, NAN)
    assert explain(*pair(), holes, objective=ImportanceWeightedELBO(5)).problems == []
    done = []
    for stops in ((4,), (2, 4)):
        both = pair()
        for epochs in stops:
            file = tmp_path / f"{len(stops)}.pt"
            resume = file if file.exists() else None
            fit(
                *both, (x, mask), objective=ImportanceWeightedELBO(5), epochs=epochs, batch_size=16,
                schedule="constant", validation=(x, mask), checkpoint=file, resume=resume,
                progress=False, restore_best=False,
            )  # fmt: skip
        done.append([p.detach().clone() for p in both.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*done, strict=True))
    report = evaluate(*both, holes, particles=20)
    assert math.isfinite(report.nll)


def test_training_helps_imputation():
    x, mask = table(200)
    both = pair()
    before = impute(*both, x, mask, particles=100)
    fit(*both, (x, mask), objective=ImportanceWeightedELBO(5), epochs=60, batch_size=100, lr=2e-2,
        progress=False)  # fmt: skip
    after = impute(*both, x, mask, particles=100)

    def error(filled: Tensor) -> float:
        return (filled - x)[~mask].square().mean().item()

    # The unit variance of the shared part is known from the other entries: 0.09 / 3 + 0.09 is left.
    assert error(after) < 0.3 < error(before)


def test_generation_is_whole():
    x, _ = table()
    made = generate(pair().model, x, n=7, mean=False)
    assert made.shape == (7, 4) and (made != 0).all()


def test_images_take_the_mask_as_channels():
    x = torch.rand(3, 1, 16, 16)
    mask = torch.rand(x.shape) < 0.5
    decoder = ConvDecoder(2, (1, 16, 16), channels=(4, 4))
    encoder = ConvEncoder((2, 16, 16), 4, channels=(4, 4))
    model, guide = Model(StandardNormal(2), Normal(decoder)), Guide(DiagonalNormal(encoder), True)
    assert impute(model, guide, x, mask, particles=3).shape == x.shape


def test_a_table_of_several_families():
    families = ["Normal", "Beta", "Categorical:3", "Poisson"]
    x = torch.tensor([[0.5, 0.5, 2.0, NAN], [NAN, NAN, NAN, 4.0], [1.0, 0.1, NAN, 0.0]])
    outputs = Mixed.outputs((4,), families=families)
    torch.manual_seed(0)
    model = Model(StandardNormal(2), Mixed(MLP(2, outputs, [8]), families))
    guide = Guide(DiagonalNormal(MLP(4, 4, [8])))
    assert explain(model, guide, x).problems == []
    fit(model, guide, x, epochs=2, progress=False)
    copies = multiple_imputations(model, guide, x, draws=5, particles=50)
    assert not copies.isnan().any()
    assert set(copies[:, 1, 2].tolist()) <= {0.0, 1.0, 2.0}
    assert ((copies[:, 1, 1] > 0) & (copies[:, 1, 1] < 1)).all()
    assert torch.equal(copies[:, 0, :3], x[0, :3].expand(5, -1))


def test_an_open_support_is_not_told_of_the_filled_zero():
    x = torch.tensor([[0.2, NAN], [0.7, 0.4]])
    model = Model(StandardNormal(2), Beta(MLP(2, Beta.outputs((2,)), [4])))
    guide = Guide(DiagonalNormal(MLP(2, 4, [4])))
    assert explain(model, guide, x).problems == []
    with pytest.raises(ProgramError, match=r"contain 0 at \[0, 0\], outside the support"):
        fit(model, guide, torch.tensor([[0.0, NAN], [0.7, 0.4]]), progress=False)


@pytest.mark.parametrize(
    ("x", "likelihood", "message"),
    [
        ([[1.0, NAN], [-2.0, 3.0]], Poisson, r"contain -2 at \[1, 0\], outside the support of"),
        ([[1.0, NAN], [-2.0, 3.0]], NegativeBinomial, r"contain -2 at \[1, 0\], outside"),
        ([[1.0, NAN], [math.inf, 3.0]], Normal, r"contain inf at \[1, 0\]: remove or fill"),
    ],
)
def test_bad_entries_are_told_in_one_line(x, likelihood, message):
    data = torch.tensor(x)
    model = Model(StandardNormal(2), likelihood(MLP(2, 2, [4])))
    guide = Guide(DiagonalNormal(MLP(2, 4, [4])))
    for run in (fit, impute):
        options: dict[str, Any] = {"progress": False} if run is fit else {"particles": 2}
        with pytest.raises(ProgramError, match=message) as error:
            run(model, guide, data, **options)
        assert "\n" not in str(error.value)
    # Called missing they harm nobody.
    mask = torch.tensor([[True, False], [False, True]])
    assert impute(model, guide, data, mask, particles=5).isfinite().all()


def test_an_empty_row_changes_no_other():
    x, mask = table(6)
    both = pair()
    mask[3] = False
    with pytest.warns(UserWarning, match="nothing is known of 1 of 6 rows") as told:
        found = impute(*both, x, mask, particles=500)
    assert len(told) == 1 and found.isfinite().all()
    rest = [0, 1, 2, 4, 5]
    assert torch.equal(found[rest][mask[rest]], x[rest][mask[rest]])
    evidence = log_evidence(*both, x, mask, particles=2000).log_evidence
    assert abs(evidence[3]) < 0.1, "the probability of nothing is 1"


def test_bad_arguments_are_told():
    x, mask = table(6)
    both = pair()
    with pytest.raises(TypeError, match="a mask is boolean"):
        both.model(x, mask.float())
    with pytest.raises(ValueError, match=r"shape of the data, \(6, 4\), not \(6, 3\)"):
        impute(*both, x, mask[:, :3])
    with pytest.raises(ValueError, match="particles is a whole number"):
        impute(*both, x, mask, particles=0)
    with pytest.raises(ValueError, match="draws is a whole number"):
        multiple_imputations(*both, x, mask, draws=0)
    with pytest.raises(ValueError, match="give the mask"):
        impute(*both, x, None, x)
    with pytest.raises(ProgramError, match="no observed site 'y': it has 'x'"):
        impute(*both, x, mask, site="y", particles=2)


def test_programs_that_look_at_missing_entries_are_refused():
    x, mask = table(6)
    model = vae.Model(StandardNormal(2), Normal(MLP(2, 4)))
    guide = vae.Guide(DiagonalNormal(MLP(4, 4)))

    def heedless(x, mask):
        return guide(x)

    with pytest.raises(ProgramError, match="look at entries that the mask calls missing"):
        impute(model, heedless, x, mask, particles=2)
    with pytest.raises(ProgramError, match="contain nan"):
        impute(model, guide, torch.where(mask, x, NAN), particles=2)
