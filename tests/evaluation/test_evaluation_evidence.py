"""Importance-weighted evidence: right in value, in error, and however it is cut."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import binary, discrete, hierarchical, ours
from linear_gaussian_programs import known
from pyro.infer.autoguide import AutoNormal
from torch import nn

from pyro_vae.evaluation import log_evidence
from pyro_vae.evaluation.capacity import CPU_MEMORY, Capacity, capacity
from pyro_vae.terms import ProgramError

LATENT, WIDEN = 3, 1.5


def relative_variance() -> float:
    """Of the weights of a guide that is the posterior N(m, V), d latents, with covariance cV.

    E_q[(p/q)^2] = prod_d c / sqrt(2c - 1), so Var_q(p/q) is that less 1.
    """
    return (WIDEN / math.sqrt(2 * WIDEN - 1)) ** LATENT - 1


def test_a_wrong_guide_agrees_within_its_standard_error():
    case, n, particles = known(n=50, latent=LATENT, widen=WIDEN), 50, 2000
    evidence = log_evidence(case.model, case.guide, case.x, particles=particles)
    error = evidence.log_evidence - case.truth.log_evidence(case.x)
    # By the delta method log of the mean weight has variance r/K and bias -r/2K.
    r = relative_variance()
    assert error.abs().max() < 5 * math.sqrt(r / particles)
    assert abs(error.mean().item()) < 4 * math.sqrt(r / particles / n) + r / particles / 2
    assert error.abs().max() > 1e-4  # the guide is wrong, so it cannot be exact
    worth = evidence.effective_sample_size.mean().item()
    assert worth == pytest.approx(particles / (1 + r), rel=0.02)


def test_more_particles_tighten_the_bound():
    n = 3000
    case = known(n=n, latent=LATENT, widen=WIDEN)
    exact = case.truth.log_evidence(case.x)
    gaps = [
        (log_evidence(case.model, case.guide, case.x, particles=k).log_evidence - exact).mean()
        for k in (1, 4, 50)
    ]
    assert gaps[0] < gaps[1] < gaps[2]
    # One particle is the ELBO: below by KL(q || p) = d/2 (c - 1 - log c). The log weight is
    # (c - 1)/2 chi^2_d plus a constant, so its deviation is (c - 1) sqrt(d / 2).
    kl = LATENT / 2 * (WIDEN - 1 - math.log(WIDEN))
    deviation = (WIDEN - 1) * math.sqrt(LATENT / 2)
    assert gaps[0].item() == pytest.approx(-kl, abs=4 * deviation / math.sqrt(n))


@pytest.mark.parametrize("options", [{"chunk": 7}, {"memory": 20_000}, {"vectorize": False}])
def test_cutting_changes_nothing_but_the_random_numbers(options):
    exact, wrong = known(), known(widen=WIDEN)
    whole = log_evidence(exact.model, exact.guide, exact.x, particles=25)
    cut = log_evidence(exact.model, exact.guide, exact.x, particles=25, **options)
    torch.testing.assert_close(cut.log_evidence, whole.log_evidence, rtol=0, atol=1e-9)
    torch.testing.assert_close(cut.effective_sample_size, whole.effective_sample_size)
    # And with unequal weights, each example is still the mean of its own.
    cut = log_evidence(wrong.model, wrong.guide, wrong.x, particles=100, **options)
    error = cut.log_evidence - wrong.truth.log_evidence(wrong.x)
    assert error.abs().max() < 5 * math.sqrt(relative_variance() / 100)


def test_each_cut_weighs_every_draw_once():
    case, drawn = known(n=4, latent=1, widen=WIDEN), []

    def guide(x):
        z = case.guide(x)
        drawn.append((x, z))

    cut = log_evidence(case.model, guide, case.x, particles=6, chunk=2, memory=1)
    passes = drawn[-12:]  # of 2 examples and 1 particle each; before them it measures and checks
    mean, covariance = case.truth.posterior(case.x)
    z = torch.cat([torch.stack([z for _, z in passes[i : i + 6]]) for i in (0, 6)], 1)
    log_w = (
        dist.Normal(0.0, 1.0).log_prob(z)[..., 0]
        + dist.Normal(z @ case.truth.W.T + case.truth.mean, 0.7).log_prob(case.x).sum(-1)
        - dist.Normal(mean, (WIDEN * covariance).sqrt()).log_prob(z)[..., 0]
    )
    torch.testing.assert_close(cut.log_evidence, log_w.logsumexp(0) - math.log(6))


@pytest.mark.parametrize("memory", [300, 500, 700, 1000, 2000, 4000])
def test_no_particle_too_many(memory):
    case = known(n=2)
    evidence = log_evidence(case.model, case.guide, case.x, particles=7, memory=memory)
    worth = torch.full((2,), 7.0, dtype=torch.float64)
    torch.testing.assert_close(evidence.effective_sample_size, worth)


def test_the_same_seed_repeats_and_another_differs():
    case = known(widen=WIDEN)
    run = [
        log_evidence(case.model, case.guide, case.x, particles=9, seed=seed).log_evidence
        for seed in (0, 0, 1)
    ]
    assert torch.equal(run[0], run[1])
    assert not torch.equal(run[0], run[2])


def test_mean_and_standard_error():
    case = known(n=40)
    evidence = log_evidence(case.model, case.guide, case.x, particles=2)
    exact = case.truth.log_evidence(case.x)
    assert evidence.mean == pytest.approx(exact.mean().item(), abs=1e-9)
    assert evidence.stderr == pytest.approx(exact.std().item() / math.sqrt(40), abs=1e-9)
    assert f"{evidence.mean:.2f} ±" in str(evidence)
    one = log_evidence(case.model, case.guide, case.x[:1], particles=2)
    assert one.mean == pytest.approx(exact[0].item(), abs=1e-9)
    assert math.isnan(one.stderr)


def test_discrete_latents_are_summed_out():
    """log p(x) of the discrete program, by enumeration of its seven binary latents."""
    case = discrete().double()
    x = case.args[0]
    estimate = log_evidence(case.model, case.guide, x, particles=4000).log_evidence
    w = pyro.param("discrete.w").detach()
    b = torch.tensor([0.0, 1.0]).double()
    log_b = dist.Bernoulli(torch.tensor(0.3).double()).log_prob(b)
    p_c = dist.Bernoulli(torch.sigmoid(w[0] + b[:, None]))  # (b, pixels)
    inner = torch.stack(
        [
            p_c.log_prob(b.new_tensor(c))[:, None]
            + dist.Normal(w[1] * b[:, None, None] + w[2] * c, 1.0).log_prob(x)
            for c in (0.0, 1.0)
        ]
    ).logsumexp(0)  # (b, batch, pixels)
    exact = (inner.sum(-1) + log_b[:, None]).logsumexp(0)
    # The spread of repeated estimates, measured: 4 standard errors of it.
    runs = torch.stack(
        [
            log_evidence(case.model, case.guide, x, particles=400, seed=s).log_evidence
            for s in range(10)
        ]
    )
    error = runs.std(0) / math.sqrt(10)
    assert ((estimate - exact).abs() < 4 * error + 1e-3).all()


def test_hierarchies_and_ours_run():
    for case in (hierarchical(), hierarchical("bottom-up"), ours(), ours("normal")):
        evidence = log_evidence(case.model, case.guide, case.args[0], particles=5)
        assert evidence.log_evidence.isfinite().all()
        assert (evidence.effective_sample_size <= 5 + 1e-4).all()


def test_parameters_for_each_example_are_not_cut():
    """An automatic guide has a row for each example; the examples stay in one pass."""
    case = known(n=30)
    guide = AutoNormal(case.model)
    guide(case.x)
    evidence = log_evidence(case.model, guide, case.x, particles=3, memory=5_000)
    assert evidence.log_evidence.shape == (30,)


def test_the_guide_runs_once_for_all_particles():
    calls = []

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x):
        calls.append(len(x))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x, 1.0).to_event(1))

    log_evidence(model, guide, torch.zeros(100, 2), particles=1000, memory=2**20)
    # On 4 and 2 examples to measure, on all to check, on a part to count plates; then on all once.
    assert max(calls[3:]) < 50
    assert sum(calls) <= 4 + 2 + 100 + 50 + 100


def test_capacity_is_the_budget_over_the_cost_of_one_example():
    def run(x):
        return (x.repeat(1, 10) + torch.zeros(1000, 1000).sum()).exp()

    room = capacity(run, (torch.zeros(50, 25),), memory=100_000)
    # 250 floats are 1,000 bytes, four such alive; what is fixed (4 MB) does not count.
    assert room == Capacity(pairs=25, divisible=True)
    assert capacity(run, (torch.zeros(50, 25),)).pairs == CPU_MEMORY // 4000
    assert not capacity(lambda x: x + torch.zeros(50, 25), (torch.zeros(50, 25),)).divisible


def test_capacity_counts_neither_a_first_pass_nor_views_that_repeat():
    passes = []

    def run(x):
        if not passes:
            passes.append(torch.zeros(1000, 1000).exp())
        shared = torch.zeros(500, 500).expand(len(x), 500, 500)  # as a plate does to a prior
        return (x.repeat(1, 10) + shared[:, 0, :250]).exp()

    assert capacity(run, (torch.zeros(50, 25),), memory=100_000).pairs == 25


def test_cuts_fill_the_budget():
    room = Capacity(pairs=1000, divisible=True)
    assert room.cut(n=10, particles=5000) == (1, 1000)
    assert room.cut(n=10, particles=100) == (10, 100)
    assert room.cut(n=10, particles=100, chunk=4) == (4, 100)
    assert room.cut(n=10, particles=1001) == (1, 501)
    assert Capacity(pairs=1000, divisible=False).cut(n=300, particles=10) == (300, 3)
    assert Capacity(pairs=1, divisible=False).cut(n=300, particles=2) == (300, 1)


def test_infinite_log_weights_of_zero_are_kept():
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.factor("inside", torch.where(z > 0, 0.0, -torch.inf))
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(3.0, 1.0))

    x = torch.zeros(3)
    evidence = log_evidence(model, guide, x, particles=20000)
    # p(x) p(z > 0): half the density of x.
    exact = math.log(0.5) - 0.5 * math.log(2 * math.pi)
    assert evidence.log_evidence.tolist() == pytest.approx([exact] * 3, abs=0.1)


def broken(kind):
    class Nan(nn.Module):
        def forward(self, z):
            return z * (torch.nan if kind == "nan" else 1.0)

    net = Nan()

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(6), 1.0).to_event(1))
            if kind == "flat":
                z = z.reshape(-1, 3, 2).flatten(1)
            p = dist.Bernoulli(logits=net(z)) if kind == "grey" else dist.Normal(net(z), 1.0)
            pyro.sample("x", p.to_event(1), obs=x)

    def guide(x):
        if kind == "global":
            return pyro.sample("z", dist.Normal(x.new_zeros(6), 1.0).to_event(1))
        name = "y" if kind == "name" else "z"
        with pyro.plate("data", len(x)):
            return pyro.sample(name, dist.Normal(x, 1.0).to_event(1))

    return model, guide


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("grey", "data at site 'x' contain 0.5 .*outside the support of Bernoulli"),
        ("nan", "site 'x' in the model .Normal.: loc is nan"),
        ("name", "latent site 'z' is in the model only"),
        ("flat", "cannot run 5 particles in one pass .*vectorize=False"),
    ],
)
def test_silent_wrong_answers_are_errors(kind, message):
    model, guide = broken(kind)
    x = torch.full((4, 6), 0.5)
    with pytest.raises(ProgramError, match=message) as error:
        log_evidence(model, guide, x, particles=5)
    assert "\n" not in str(error.value)


def test_a_rare_draw_without_a_density_is_an_error():
    """One in two hundred draws is negative: the one that is checked first is not."""

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(2.5, 1.0))
            pyro.sample("x", dist.Normal(0.0, z.sqrt()), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(2.5, 1.0))

    assert log_evidence(model, guide, torch.zeros(1), particles=1).log_evidence.isfinite()
    with pytest.raises(ProgramError, match=r"site 'x' in the model .*scale is nan"):
        log_evidence(model, guide, torch.zeros(1), particles=5000)


def test_a_program_without_room_for_particles_runs_one_by_one():
    model, guide = broken("flat")
    evidence = log_evidence(model, guide, torch.zeros(4, 6), particles=5, vectorize=False)
    assert evidence.log_evidence.isfinite().all()


def test_bad_input_is_one_clear_line():
    case = ours()
    x = binary()
    with pytest.raises(ValueError, match=r"x holds no examples \(its shape is \(0, 6\)\)"):
        log_evidence(case.model, case.guide, x[:0])
    with pytest.raises(ProgramError, match="data at site 'x' contain nan"):
        log_evidence(case.model, case.guide, torch.full_like(x, torch.nan))
    for particles in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="particles is a whole number of at least 1"):
            log_evidence(case.model, case.guide, x, particles=particles)
    with pytest.raises(ValueError, match="chunk is a whole number"):
        log_evidence(case.model, case.guide, x, chunk=0)
    with pytest.raises(TypeError, match="x is a ndarray; a tensor"):
        log_evidence(case.model, case.guide, x.numpy())
    with pytest.raises(ValueError, match="argument 2 of the programs has 3 examples, but x has 5"):
        log_evidence(case.model, case.guide, x, x[:3])
    with pytest.raises(ProgramError, match="the guide cannot run on data of shape"):
        log_evidence(case.model, case.guide, x[:, :4])


def test_noise_that_the_model_does_not_know_has_no_evidence():
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            a = pyro.sample("a", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
            pyro.sample("z", dist.Normal(x / 2 + 0.1 * a, 1.0))

    with pytest.raises(ProgramError, match="site 'a' is in the guide only"):
        log_evidence(model, guide, torch.zeros(3))


def test_labels_are_cut_with_the_data():
    def model(x, y):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(y, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x, y):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal((x + y) / 2, 0.5**0.5))

    x, y = torch.randn(9).double(), torch.randn(9).double()
    evidence = log_evidence(model, guide, x, y, particles=3, chunk=2)
    exact = dist.Normal(y, 2**0.5).log_prob(x)
    torch.testing.assert_close(evidence.log_evidence, exact)
