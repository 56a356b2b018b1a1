"""The report: exact where the truth is known, honest where it is not."""

import json
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import auxiliary, binary, ours
from linear_gaussian_programs import known

from pyro_vae import evaluation
from pyro_vae.evaluation import Report, evaluate
from pyro_vae.terms import ProgramError


def test_a_report_of_the_exact_posterior():
    case = known(n=200)
    report = evaluate(case.model, case.guide, case.x, particles=5)
    exact = case.truth.log_evidence(case.x)
    stderr = exact.std().item() / math.sqrt(200)
    assert report.nll == pytest.approx(-exact.mean().item(), abs=1e-9)
    assert report.nll_stderr == pytest.approx(stderr, abs=1e-9)
    # The KL is exact, and the reconstruction is sampled: its noise is part of its spread.
    assert report.elbo == pytest.approx(exact.mean().item(), abs=4 * report.reconstruction_stderr)
    assert report.elbo == pytest.approx(report.reconstruction - report.kl, abs=1e-9)
    mean, covariance = case.truth.posterior(case.x)
    kl = 0.5 * (covariance.trace() - 3 - covariance.logdet() + mean.square().sum(-1))
    assert report.kl == pytest.approx(kl.mean().item(), abs=1e-9)
    assert (report.active_units, report.latent, report.n, report.particles) == (3, 3, 200, 5)


def test_the_kl_is_analytic_where_it_can_be():
    case = ours()
    report = evaluate(case.model, case.guide, *case.args, particles=1)
    kl = evaluation.kl_per_dimension(case.model, case.guide, *case.args).sum().item()
    assert report.kl == pytest.approx(kl, rel=1e-5)


def test_the_nll_is_the_negative_log_evidence():
    case = ours()
    report = evaluate(case.model, case.guide, *case.args, particles=50, seed=3)
    evidence = evaluation.log_evidence(case.model, case.guide, *case.args, particles=50, seed=3)
    assert report.nll == -evidence.mean
    assert report.nll_stderr == evidence.stderr
    assert report.nll > 0


def test_more_samples_in_the_elbo_have_less_noise():
    case = known(n=30, widen=1.5)
    runs = [
        torch.tensor(
            [
                evaluate(case.model, case.guide, case.x, particles=1, elbo_particles=k, seed=s).elbo
                for s in range(8)
            ]
        ).std()
        for k in (1, 16)
    ]
    assert runs[1] < runs[0] / 2  # a quarter, expected


def test_cut_to_the_budget():
    case = known(n=60)
    whole = evaluate(case.model, case.guide, case.x, particles=3)
    cut = evaluate(case.model, case.guide, case.x, particles=3, memory=3000)
    assert cut.nll == pytest.approx(whole.nll, abs=1e-9)
    assert cut.kl == pytest.approx(whole.kl, abs=1e-9)
    assert cut.elbo != whole.elbo  # other draws: it was cut


def test_a_latent_shared_by_all_counts_once():
    """One unknown mean for all the data: its KL is 1/n for each example."""

    def model(x):
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(m, 1.0), obs=x)

    def guide(x):
        pyro.sample("m", dist.Normal(1.0, 1.0))

    for n in (1, 4):
        report = evaluate(model, guide, torch.zeros(n))
        assert report.kl == pytest.approx(0.5 / n)
        assert (report.nll, report.nll_stderr, report.latent) == (None, None, 0)


def test_a_report_without_evidence():
    case = auxiliary()
    report = evaluate(case.model, case.guide, *case.args)
    assert report.nll is None
    assert "NLL" not in str(report)
    assert json.loads(report.to_json())["nll"] is None


def test_no_plate_is_an_error():
    def model(x):
        z = pyro.sample("z", dist.Normal(torch.zeros(5, 2), 1.0).to_event(2))
        pyro.sample("x", dist.Normal(z, 1.0).to_event(2), obs=x)

    def guide(x):
        pyro.sample("z", dist.Normal(x, 1.0).to_event(2))

    with pytest.raises(ProgramError, match="no plate holds the examples"):
        evaluate(model, guide, torch.zeros(5, 2))


def test_programs_that_subsample_are_an_error():
    def plate(x):
        return pyro.plate("data", len(x), subsample_size=3)

    def model(x):
        with plate(x) as chosen:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x[chosen])

    def guide(x):
        with plate(x):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    for call in (evaluate, evaluation.log_evidence):
        with pytest.raises(ProgramError, match="plate 'data' holds 3 of 8 examples"):
            call(model, guide, torch.zeros(8), particles=2)


def test_text_and_json():
    report = Report(-21.337, 0.214, -15.2, 0.2, 6.137, 0.05, 20.9, 0.21, 9, 10, 360, 1000)
    assert str(report).splitlines() == [
        "ELBO              -21.34 ± 0.21 nats",
        "reconstruction    -15.20 ± 0.20 nats",
        "KL                  6.14 ± 0.05 nats",
        "NLL                20.90 ± 0.21 nats  (1000 particles)",
        "active units     9 of 10",
        "examples             360",
    ]
    assert json.loads(report.to_json()) == report.to_dict()
    assert list(report.to_dict()) == [
        *("elbo", "elbo_stderr", "reconstruction", "reconstruction_stderr", "kl", "kl_stderr"),
        *("nll", "nll_stderr", "active_units", "latent", "n", "particles"),
    ]
    assert all(type(value) in (int, float) for value in report.to_dict().values())


def test_one_example():
    case = ours()
    report = evaluate(case.model, case.guide, binary()[:1], particles=5)
    assert math.isfinite(report.nll)
    assert math.isnan(report.elbo_stderr)
    assert math.isnan(report.nll_stderr)
    assert json.loads(report.to_json())["elbo_stderr"] is None
    assert "nan" in str(report)


def test_bad_counts():
    case = ours()
    for options in ({"particles": 0}, {"elbo_particles": 0}):
        with pytest.raises(ValueError, match="a whole number of at least 1, not 0"):
            evaluate(case.model, case.guide, *case.args, **options)
