"""Known traps of Pyro: the naive program falls into each, ours does not or says so.

Each test first shows the trap, so that it also documents it, and then what happens here.
"""

from __future__ import annotations

import io

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES, binary, ours
from pyro import poutine
from pyro.infer import SVI, RenyiELBO, ReweightedWakeSleep, Trace_ELBO, TraceGraph_ELBO
from pyro.infer import TraceMeanField_ELBO as MeanField
from torch import nn

from pyro_vae.checks import check
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO, explain
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import VAE, vae
from pyro_vae.terms import ProgramError, site_terms

ADAM = {"lr": 0.01}


class Pair:
    """The programs of a Pyro tutorial, with what each trap needs left open."""

    def __init__(self, register: bool = True, prior=None, likelihood=None, site: str = "z") -> None:
        self.nets = nn.ModuleDict({"encoder": MLP(6, 4, [4]), "decoder": MLP(2, 6, [4])})
        self.register, self.site = register, site
        self.prior = prior or (lambda: dist.Normal(torch.zeros(2), 1.0).to_event(1))
        self.likelihood = likelihood or (lambda logits: dist.Bernoulli(logits=logits).to_event(1))

    def model(self, x):
        if self.register:
            pyro.module("decoder", self.nets["decoder"])
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", self.likelihood(self.nets["decoder"](z)), obs=x)

    def guide(self, x):
        if self.register:
            pyro.module("encoder", self.nets["encoder"])
        with pyro.plate("data", len(x)):
            loc, raw = self.nets["encoder"](x).chunk(2, -1)
            pyro.sample(self.site, dist.Normal(loc, raw.exp()).to_event(1))

    def moves(self, loss=None) -> int:
        """How many of the eight parameters a step of stock SVI moves."""
        before = [p.detach().clone() for p in self.nets.parameters()]
        SVI(self.model, self.guide, pyro.optim.Adam(ADAM), loss or Trace_ELBO()).step(binary())
        after = self.nets.parameters()
        return sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def problems(self, x=None) -> list[str]:
        return check(self.model, self.guide, binary() if x is None else x).problems


def moves(case) -> int:
    before = [p.detach().clone() for m in (case.model, case.guide) for p in m.parameters()]
    SVI(case.model, case.guide, pyro.optim.Adam(ADAM), Trace_ELBO()).step(*case.args)
    after = [p for m in (case.model, case.guide) for p in m.parameters()]
    return sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_trap_01_two_models_under_the_same_names():
    """Trap 1: a cell run twice; the second model never trains, and there is no error."""
    assert Pair().moves() == 8
    second = Pair()
    assert second.moves() == 0
    (guide, model) = second.problems()
    assert guide.startswith("param 'encoder.layers.0.weight' in the guide already holds another")
    assert "clear_param_store" in guide and "'decoder.layers.0.weight' in the model" in model
    assert moves(ours()) == moves(ours()) == 8


def test_trap_02_nothing_registered():
    """Trap 2: plain modules under SVI; nothing trains, and there is no error."""
    naive = Pair(register=False)
    assert naive.moves() == 0
    (guide, model) = naive.problems()
    assert "'nets' of the guide is not registered" in guide and "pyro.module" in guide
    assert "'nets' of the model is not registered" in model
    assert moves(ours()) == 8


def known_kl(beta_model: float = 1.0, beta_guide: float = 1.0):
    """KL(q||p) = 17.5 nats: one normal latent at loc 5.9161 of scale 1; x says nothing of z."""
    x = torch.zeros(1)

    def model(x):
        with pyro.plate("data", len(x)):
            with poutine.scale(scale=beta_model):
                pyro.sample("z", dist.Normal(torch.zeros(1), 1.0))
            pyro.sample("x", dist.Delta(torch.zeros(1)), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)), poutine.scale(scale=beta_guide):
            pyro.sample("z", dist.Normal(torch.full((1,), 35.0).sqrt(), 1.0))

    return model, guide, x


def test_trap_03_beta_by_poutine_scale():
    """Trap 3: beta = 4 means 4 KL = 70 only where both programs are scaled."""
    exact, wanted = 17.5, 70.0
    sampled = Trace_ELBO(num_particles=20_000, vectorize_particles=True, max_plate_nesting=1)
    # The standard error of log q - 4 log p over 20,000 particles is about 0.17.
    assert sampled.loss(*known_kl(4.0, 4.0)) == pytest.approx(wanted, abs=1.0)
    assert sampled.loss(*known_kl(4.0, 1.0)) == pytest.approx(74.26, abs=1.0)
    assert sampled.loss(*known_kl(1.0, 4.0)) == pytest.approx(13.24, abs=1.0)
    assert MeanField().loss(*known_kl(4.0, 1.0)) == pytest.approx(exact)
    assert MeanField().loss(*known_kl(1.0, 4.0)) == pytest.approx(wanted)
    with pytest.raises(ValueError, match="Expected scale > 0"):  # so no warm-up from 0
        poutine.scale(scale=0.0)

    for scales, said in (
        ((4.0, 1.0), "4 in the model and 1"),
        ((1.0, 4.0), "1 in the model and 4"),
    ):
        model, guide, x = known_kl(*scales)
        (problem,) = check(model, guide, x).problems
        assert problem.startswith(f"site 'z' is scaled by {said} in the guide")
        assert "weight the KL in the objective" in problem
    model, guide, x = known_kl(4.0, 4.0)
    # Scaled alike is legal: the table says so, and what is reported stays the bound itself.
    assert any("counts 'z' 4 times" in note for note in explain(model, guide, x).notes)
    report = ELBO().split(site_terms(model, guide, x))
    assert report.kl.item() == pytest.approx(exact)


def student(**options) -> Pair:
    return Pair(prior=lambda: dist.StudentT(3.0, torch.zeros(2), 1.0).to_event(1), **options)


def test_trap_04_no_kl_is_registered():
    """Trap 4: TraceMeanField_ELBO falls back to sampling without a word."""
    pair, x = student(), binary()
    losses = []
    for objective in (MeanField(), Trace_ELBO()):
        pyro.set_rng_seed(0)
        losses.append(objective.loss(pair.model, pair.guide, x))
    assert losses[0] == pytest.approx(losses[1])

    with pytest.raises(ProgramError, match=r"^site 'z' has no analytic KL: no closed form is reg"):
        ELBO(kl="analytic").loss(pair.model, pair.guide, x)
    for objective in (ELBO(kl="analytic"), MeanField()):
        (problem,) = explain(pair.model, pair.guide, x, objective=objective).problems
        assert "'z'" in problem and "Normal against StudentT" in problem
    (note,) = [n for n in explain(pair.model, pair.guide, x).notes if "sampled" in n]
    assert note.startswith("KL of 'z' is sampled")


def coin(start: float = 0.0):
    """p(b=1) = 0.5, x ~ N(b, 1), x = 2: the exact q(b=1) is sigmoid(1.5) = 0.818."""
    logit = nn.Parameter(torch.tensor(start))

    def model(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))
            pyro.sample("x", dist.Normal(b, 1.0), obs=x)

    def guide(x):
        pyro.param("logit", logit)
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=logit))

    return model, guide, logit


def learned(objective, steps: int = 60) -> float:
    pyro.clear_param_store()
    model, guide, logit = coin()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), objective)
    for _ in range(steps):
        svi.step(torch.full((2000,), 2.0))
    return torch.sigmoid(logit).item()


def test_trap_05_a_discrete_site_under_the_mean_field_elbo():
    """Trap 5: TraceMeanField_ELBO takes the KL of a site that it cannot differentiate through."""
    model, guide, _ = coin()
    x = torch.full((3,), 2.0)
    with pytest.raises(NotImplementedError):
        MeanField().loss_and_grads(model, guide, x)
    with pyro.validation_enabled(False):
        assert learned(MeanField()) == 0.5  # never learns

    with pytest.raises(ProgramError, match=r"^site 'b' has no analytic KL: q is not reparam"):
        ELBO(kl="analytic").loss(model, guide, x)
    # 2,000 examples make the gradient's error some hundredths of it.
    assert learned(ELBO(kl="auto")) == pytest.approx(0.818, abs=0.02)


def test_trap_09_objectives_without_a_differentiable_loss():
    """Trap 9: three of Pyro's objectives cannot be used as `objective(model, guide)(x)`."""
    case = ours()
    for naive in (RenyiELBO(num_particles=2), ReweightedWakeSleep(), TraceGraph_ELBO()):
        with pytest.raises(AttributeError):
            naive(case.model, case.guide)(*case.args)
    for mode in ("auto", "analytic", "sampled"):
        pyro.set_rng_seed(0)
        module = ELBO(kl=mode)(case.model, case.guide)
        module(*case.args).backward()
        assert len(list(module.parameters())) == 8
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
        module.zero_grad()


def test_trap_10_a_step_under_no_grad():
    """Trap 10: `svi.step` under no_grad 'to evaluate': Adam's momentum still moves the weights."""
    case = ours()
    parameters = [p for m in (case.model, case.guide) for p in m.parameters()]
    svi = SVI(case.model, case.guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
    svi.step(*case.args)
    before = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        svi.step(*case.args)
    moved = max((a - b).abs().max().item() for a, b in zip(before, parameters, strict=True))
    assert moved > 0.05

    # Here what is reported needs no step: a loss, and the table that it is a reduction of.
    before = [p.detach().clone() for p in parameters]
    objective = ELBO(particles=2)
    value = objective.loss(case.model, case.guide, *case.args)
    report = objective.split(objective.terms(case.model, case.guide, *case.args))
    assert isinstance(value, float) and not report.elbo.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    assert all(p.grad is None or not p.grad.any() for p in parameters)


def test_trap_11_missing_pixels():
    """Trap 11: a mask of pixels after `to_event` does not fit; before it, it is what one means."""
    x = binary()
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5

    pair = Pair()
    naive = poutine.mask(pair.model, mask=mask)
    with pytest.raises((ValueError, RuntimeError)):
        Trace_ELBO().loss(naive, pair.guide, x)
    problem = check(naive, pair.guide, x).problems[0]
    assert problem.startswith(
        "site 'z' in the model has batch shape (5,) and a mask of shape (5, 6)"
    )
    assert ".mask(m).to_event(1)" in problem
    late = Pair(likelihood=lambda logits: dist.Bernoulli(logits=logits).to_event(1).mask(mask))
    (problem,) = late.problems()
    assert "the model cannot run" in problem and ".mask(m).to_event(1)" in problem

    pyro.clear_param_store()
    early = Pair(likelihood=lambda logits: dist.Bernoulli(logits=logits).mask(mask).to_event(1))
    assert early.problems() == []
    terms = site_terms(early.model, early.guide, x)
    logits = early.nets["decoder"](terms["z"].value)
    each = dist.Bernoulli(logits=logits).log_prob(x)
    torch.testing.assert_close(terms["x"].log_p[0], (each * mask).sum(-1))

    # NaN for what is missing fails validation even where it is masked.
    holes = torch.where(mask, x, torch.nan)
    with pytest.raises(ValueError, match="support") as caught:
        Trace_ELBO().loss(early.model, lambda x: early.guide(x.nan_to_num()), holes)
    assert "\n" in str(caught.value)
    (problem,) = check(early.model, lambda x: early.guide(x.nan_to_num()), holes).problems
    assert problem.startswith("data at site 'x' contain nan at [") and "fill" in problem


class Normed(MLP):
    """A network with buffers: the statistics of a batch norm."""

    def __init__(self) -> None:
        super().__init__(6, 4, [4])
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return super().forward(self.norm(x))


def test_trap_12_saving_the_param_store(tmp_path):
    """Trap 12: the param store's file holds no buffers, and is not safe to load."""
    pair, x = Pair(), binary()
    pair.nets["encoder"] = Normed()
    assert pair.moves() == 10
    buffers = {name for name, _ in pair.nets.named_buffers()}
    assert "encoder.norm.running_mean" in buffers
    path = tmp_path / "store.pt"
    pyro.get_param_store().save(path)
    with pytest.raises(Exception, match="weights_only"):
        torch.load(path, weights_only=True)
    saved = torch.load(path, weights_only=False)["params"]
    assert not any("running_mean" in name for name in saved)

    def pair_of_ours() -> VAE:
        model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 6, [4])))
        return VAE(model, vae.Guide(DiagonalNormal(Normed())))

    trained, loaded = pair_of_ours(), pair_of_ours()
    SVI(*trained, pyro.optim.Adam(ADAM), Trace_ELBO()).step(x)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert trained.eval().guide.posterior.network.norm.running_mean.any()
    assert torch.equal(trained.guide.posterior(x).mean, loaded.eval().guide.posterior(x).mean)


def test_trap_13_grey_pixels_under_a_bernoulli():
    """Trap 13: outside the support: an error of many lines, or a wrong density without a word."""
    pair, grey = Pair(), binary() * 0.5
    with pytest.raises(ValueError, match="support") as caught:
        Trace_ELBO().loss(pair.model, pair.guide, grey)
    assert str(caught.value).count("\n") > 3
    with pyro.validation_enabled(False):
        assert Trace_ELBO().loss(pair.model, pair.guide, grey) > 0  # a number, of no density

    (problem,) = pair.problems(grey)
    assert problem.startswith("data at site 'x' contain 0.5 at [0, ")
    assert "outside the support of Bernoulli: binarise grey values" in problem
    with pyro.validation_enabled(False):  # and whatever the validation is
        assert pair.problems(grey) == [problem]


def test_trap_14_a_missing_to_event():
    """Trap 14a: a shape mismatch deep in a stack; or none, where the batch has as many examples."""
    pair = Pair(likelihood=lambda logits: dist.Bernoulli(logits=logits))
    x = binary()
    with pytest.raises(ValueError, match="Shape mismatch") as caught:
        Trace_ELBO().loss(pair.model, pair.guide, x)
    assert str(caught.value).count("\n") > 3
    (problem,) = pair.problems()
    assert problem.startswith("site 'x' in the model has size 6 at batch dimension -1, where plate")
    assert ".to_event(1)" in problem

    square = binary(6, 6)
    with pyro.validation_enabled(False):
        terms = Trace_ELBO().loss(pair.model, pair.guide, square)
        assert terms > 0  # each pixel is taken for an example
    (problem,) = pair.problems(square)
    assert problem.startswith("site 'x' in the model (Bernoulli) has batch shape (6, 6)")
    assert ".to_event(1)" in problem


def test_trap_14_a_missing_plate():
    """Trap 14b: without a plate there is a bound, but not one for each example."""
    x = binary()

    def model(x):
        z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(2))
        pyro.sample(
            "x", dist.Bernoulli(logits=z.sum(-1, keepdim=True).expand(x.shape)).to_event(2), obs=x
        )

    def guide(x):
        pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(2))

    # One importance weight for the whole batch: a bound looser the more examples there are.
    assert Trace_ELBO().loss(model, guide, x) > 0
    (problem,) = explain(model, guide, x).problems
    assert (
        problem.startswith("no plate holds the examples")
        and 'pyro.plate("data", len(x))' in problem
    )
    with pytest.raises(ProgramError, match="'z' lies outside the data plate"):
        _ = site_terms(model, guide, x).log_weights

    pair = Pair()

    def bare(x):
        loc, raw = pair.nets["encoder"](x).chunk(2, -1)
        pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    problems = check(pair.model, bare, x).problems
    assert problems[0].startswith("site 'z' lies in plate 'data' (size 5) in the model and in no")
    assert problems[1].startswith(
        "site 'z' in the guide (Normal) has batch shape (5,), but no plate"
    )


def test_trap_14_names_that_differ():
    """Trap 14c: a warning, and a bound with a latent drawn from the prior and never inferred."""
    pair, x = Pair(site="latent"), binary()
    with pytest.warns(UserWarning, match="Found"):
        assert Trace_ELBO().loss(pair.model, pair.guide, x) > 0
    problems = pair.problems()
    assert "latent site 'z' is in the model only (the guide has 'latent' instead)" in problems[0]
    assert problems[1].startswith("site 'latent' is in the guide only")
    with pytest.raises(
        ProgramError, match=r"'z' is in the model only.*\(and 1 more: see explain\)$"
    ):
        explain(pair.model, pair.guide, x).raise_for_problems()


def test_trap_20_a_loss_that_is_not_finite():
    """Trap 20: 'Encountered NaN: loss', with no way to find where."""
    pair, x = Pair(), binary()
    with torch.no_grad():
        pair.nets["decoder"].layers[2].bias[3] = torch.nan
    with pyro.validation_enabled(False), pytest.warns(UserWarning, match="NaN: loss") as caught:
        Trace_ELBO().loss(pair.model, pair.guide, x)
    assert not any("'x'" in str(warning.message) for warning in caught)

    (problem,) = pair.problems()
    assert problem.startswith(
        "site 'x' in the model (Bernoulli): logits is nan; look at the weights"
    )
    with torch.no_grad():
        pair.nets["encoder"].layers[0].weight.fill_(torch.inf)
    (problem,) = pair.problems()  # the cause alone, not what follows from it
    assert problem.startswith("site 'z' in the guide (Normal): loc is nan")
    assert explain(pair.model, pair.guide, x).problems == [problem]


def test_the_catalogue_falls_into_none():
    """Every good pair passes the same check."""
    for name, case in CASES.items():
        pyro.clear_param_store()
        good = case()
        assert check(good.model, good.guide, *good.args).problems == [], name
