"""The report on collapse: against closed forms of a linear Gaussian pair."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae import objectives, schedules
from pyro_vae.evaluation import collapse_report
from pyro_vae.terms import ProgramError


def _pair(use: float, scale: float, dead: int = 1):
    """z's first dimension is x (times ``use``), the others are the prior."""

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1 + dead), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(use * z[..., :1], 1.0).to_event(1), obs=x)

    def guide(x):
        zeros = x.new_zeros(len(x), dead)
        with pyro.plate("data", len(x)):
            scales = torch.cat([x.new_full((len(x), 1), scale), zeros + 1.0], -1)
            loc = torch.cat([use * x, zeros], -1)
            pyro.sample("z", dist.Normal(loc, scales).to_event(1))

    return model, guide


def test_the_parts_of_a_latent_that_is_used():
    torch.manual_seed(0)
    x = torch.randn(4000, 1, dtype=torch.float64)
    scale = 0.5
    report = collapse_report(*_pair(1.0, scale), x, examples=4000)
    # q(z) is N(0, 1 + scale^2), to within the sample: x is 4000 draws.
    variance = 1 + scale**2
    information = 0.5 * math.log(variance / scale**2)
    aggregate = 0.5 * (variance - 1 - math.log(variance))
    # The sample variance of x has a relative standard error of sqrt(2/4000) = 0.022, and the
    # information one of 0.011; 5 of them, and as much for the draws.
    assert report.information == pytest.approx(information, abs=0.1)
    assert report.aggregate_kl == pytest.approx(aggregate, abs=0.1)
    assert report.kl == pytest.approx(report.information + report.aggregate_kl, abs=1e-9)
    assert report.kl_per_dimension.sum() == pytest.approx(report.kl)
    assert float(report.kl_per_dimension[1]) == 0.0
    # E (x - z')^2 - E (x - z)^2 = (1 + 1 + s^2) - s^2 = 2, halved.
    assert report.shuffled_loss == pytest.approx(1.0, abs=0.15)
    assert report.units.active.tolist() == [True, False]
    assert not report.collapsed
    assert "active units" in str(report)
    assert "Remedies" not in str(report)


def test_a_latent_that_is_not_used():
    x = torch.randn(50, 1)
    report = collapse_report(*_pair(0.0, 1.0), x)
    assert report.collapsed
    assert (report.kl, report.shuffled_loss) == (0.0, 0.0)
    assert report.information == pytest.approx(0.0, abs=1e-5)
    text = str(report)
    for remedy in ("BetaELBO", "FreeBits", "Aggressive"):
        assert remedy in text


def test_it_changes_nothing():
    before = torch.get_rng_state()
    x = torch.randn(20, 1, generator=torch.Generator().manual_seed(1))
    first = collapse_report(*_pair(1.0, 0.5), x)
    assert torch.equal(before, torch.get_rng_state())
    assert str(first) == str(collapse_report(*_pair(1.0, 0.5), x))


def test_a_guide_without_closed_forms_is_measured_by_samples():
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.StudentT(30.0, x, 0.3).to_event(1))

    report = collapse_report(model, guide, torch.randn(200, 1))
    assert report.kl_per_dimension is None
    assert not report.collapsed


def test_bad_input_gets_one_line():
    pair = _pair(1.0, 0.5)
    with pytest.raises(ValueError, match="give collapse_report at least 2"):
        collapse_report(*pair, torch.randn(1, 1))
    with pytest.raises(ValueError, match="examples is a whole number"):
        collapse_report(*pair, torch.randn(3, 1), examples=0)

    def shared(x):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        pyro.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(ProgramError, match="no latent for each example"):
        collapse_report(shared, guide, torch.zeros(3))


def test_of_several_latents_the_first_is_named_and_its_remedies_can_be_taken():
    def model(x):
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.OneHotCategorical(torch.ones(3)))
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z + 0.0 * y[..., :1], 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.OneHotCategorical(torch.ones(len(x), 3)))
            pyro.sample("z", dist.Normal(x / 2, 1.0).to_event(1))

    x = torch.randn(50, 1)
    report = collapse_report(model, guide, x)
    assert report.collapsed and (report.site, report.others) == ("y", ("z",))
    text = str(report)
    assert "KL(q(y, z|x) || p(y, z))" in text and "x and y are (nearly) independent" in text
    # What is named there is as one would write it.
    for objective in (
        objectives.SiteBetaELBO({"y": schedules.Linear(2000)}),
        objectives.FreeBits(0.5, per="site", site="y"),
    ):
        assert math.isfinite(objective.loss(model, guide, x))
