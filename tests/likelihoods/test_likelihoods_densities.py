"""Densities against SciPy's, or formulas written out, in double precision."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from scipy import stats
from torch.nn.functional import softplus

from pyro_vae.likelihoods._logit_normal import LogitNormal

Z = torch.zeros(1, 2, dtype=torch.float64)
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def doubles(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def terms(part, x: torch.Tensor, **options) -> torch.Tensor:
    """The log-probability of each number in one example."""
    with torch.no_grad():
        return part(Z, **options).base_dist.log_prob(x[None])[0]


def set_log(part, name: str, value: float) -> None:
    """In single precision log 0.3 is 1e-8 off, so it is set again in double."""
    with torch.no_grad():
        getattr(part, name).fill_(math.log(value))


LOC = doubles(0.5, -1.0, 2.0, 0.0)
X = doubles(0.1, -1.0, 9.0, -30.0)
GREY = doubles(0.1, 0.5, 0.999, 1e-8)
COUNTS = doubles(0.0, 1.0, 7.0, 2500.0)


def test_laplace(make):
    part = make("Laplace", LOC, scale=0.3)
    set_log(part, "log_scale", 0.3)
    expected = torch.tensor(stats.laplace.logpdf(X, LOC, 0.3))
    torch.testing.assert_close(terms(part, X), expected, **EXACT)


@pytest.mark.parametrize("df", [1.01, 3.0, 19.9, 20.1, 1e3])
def test_student_t(make, df):
    part = make("StudentT", LOC, df=df, scale=0.3)
    set_log(part, "log_scale", 0.3)
    set_log(part, "log_excess", df - 1)
    expected = torch.tensor(stats.t.logpdf(X, df, LOC, 0.3))
    torch.testing.assert_close(terms(part, X), expected, **EXACT)


def test_logit_normal(make):
    part = make("LogitNormal", LOC, scale=0.3)
    set_log(part, "log_scale", 0.3)
    logit = GREY.log() - (1 - GREY).log()
    jacobian = GREY.log() + (1 - GREY).log()
    expected = torch.tensor(stats.norm.logpdf(logit, LOC, 0.3)) - jacobian
    torch.testing.assert_close(terms(part, GREY), expected, **EXACT)


@pytest.mark.parametrize("scale", [1e-3, 0.3, 0.999, 1.001, 4.0, 100.0])
def test_mean_of_logit_normal(scale):
    locs = [-20.0, -3.0, 0.0, 0.7, 5.0]
    found = LogitNormal(doubles(*locs), doubles(scale)).mean
    for loc, mean in zip(locs, found.tolist(), strict=True):
        # A grid that is fine even for the steepest of these.
        e = torch.linspace(-9, 9, 400001, dtype=torch.float64)
        weight = torch.exp(-0.5 * e * e)
        exact = ((loc + scale * e).sigmoid() * weight).sum() / weight.sum()
        assert mean == pytest.approx(exact.item(), abs=1e-9)


def test_draws_of_a_logit_normal_stay_inside():
    p = LogitNormal(torch.tensor([-200.0, 50.0]), torch.tensor(1.0))
    draws = p.sample((10,))
    assert ((draws > 0) & (draws < 1)).all() and p.log_prob(draws).isfinite().all()


@pytest.mark.parametrize("precision", [0.01, 2.0, 30.0, 1e4])
def test_beta(make, precision):
    part = make("Beta", LOC, precision=precision)
    set_log(part, "log_precision", precision)
    mean = LOC.sigmoid()
    expected = stats.beta.logpdf(GREY, mean * precision, (1 - mean) * precision)
    torch.testing.assert_close(terms(part, GREY), torch.tensor(expected), rtol=1e-8, atol=1e-8)


def test_discretized_logistic(make):
    k = torch.tensor([0.0, 1.0, 100.0, 254.0, 255.0], dtype=torch.float64)
    loc, scale = doubles(0.1, 0.0, 0.3, 1.1, 0.9), 0.05
    part = make("DiscretizedLogistic", loc, scale=scale)
    set_log(part, "log_scale", scale)
    upper = torch.tensor(stats.logistic.cdf((k + 0.5) / 255, loc, scale))
    lower = torch.tensor(stats.logistic.cdf((k - 0.5) / 255, loc, scale))
    upper[-1], lower[0] = 1.0, 0.0
    torch.testing.assert_close(terms(part, k / 255), (upper - lower).log(), **EXACT)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("k", [0, 1, 128, 254, 255])
def test_discretized_logistic_in_single_precision(make, k, scale):
    for loc in (-3.0, 0.0, 0.5, 1.0, 3.0):
        part = make("DiscretizedLogistic", torch.tensor([loc]), scale=scale).float()
        x = torch.tensor([k / 255])
        with torch.no_grad():
            found = part(torch.zeros(1, 2)).log_prob(x).item()
            spread = part.log_scale.exp().item()
        with mpmath.workdps(30):
            # e^b and e^a of the interval's ends: arbitrary exponents, so nothing is lost.
            place, half = (mpmath.mpf(x.item()) - loc) / spread, mpmath.mpf(1) / 510 / spread
            below, above = mpmath.exp(place - half), mpmath.exp(place + half)
            if k == 0:
                mass = above / (1 + above)
            elif k == 255:
                mass = 1 / (1 + below)
            else:
                mass = above / (1 + above) * (1 - below / above) / (1 + below)
            exact = float(mpmath.log(mass))
        # x, the location and the half width are rounded to 6e-8 of 3, and divided by the scale.
        assert found == pytest.approx(exact, rel=1e-5, abs=1e-5 + 4e-7 / scale)


def test_discretized_logistic_mixture(make):
    components, entries = 3, 4
    raw = torch.randn(3 * components * entries, generator=torch.Generator().manual_seed(0)).double()
    part = make("DiscretizedLogisticMixture", raw, components=components, initial=0.2)
    k = torch.tensor([0.0, 3.0, 200.0, 255.0], dtype=torch.float64)
    logits, locs, scales = raw.reshape(entries, 3, components).unbind(1)
    locs = locs + torch.tensor([0.25, 0.5, 0.75])
    scales = 0.2 * softplus(scales) / math.log(2) + 0.02 / 255
    upper = torch.tensor(stats.logistic.cdf((k[:, None] + 0.5) / 255, locs, scales))
    lower = torch.tensor(stats.logistic.cdf((k[:, None] - 0.5) / 255, locs, scales))
    upper[-1], lower[0] = 1.0, 0.0
    expected = (logits.softmax(-1) * (upper - lower)).sum(-1).log()
    # The starts are kept in single precision, and 0.25, 0.5, 0.75 are exact in it.
    torch.testing.assert_close(terms(part, k / 255), expected, **EXACT)


def test_categorical(make):
    logits = torch.randn(3 * 4, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([2, 0, 1, 2])
    rows = logits.reshape(4, 3).tolist()
    expected = [
        row[label] - math.log(sum(map(math.exp, row)))
        for row, label in zip(rows, labels.tolist(), strict=True)
    ]
    part = make("Categorical", logits, levels=3)
    for kind in (torch.float64, torch.int64, torch.uint8):
        found = terms(part, labels.to(kind))
        torch.testing.assert_close(found, doubles(*expected), **EXACT)
    probabilities = logits.reshape(4, 3).softmax(-1)
    mean = probabilities[:, 1] + 2 * probabilities[:, 2]
    torch.testing.assert_close(part(Z).mean[0].detach(), mean, **EXACT)


def test_poisson(make):
    part = make("Poisson", LOC)
    expected = torch.tensor(stats.poisson.logpmf(COUNTS, LOC.exp()))
    torch.testing.assert_close(terms(part, COUNTS), expected, **EXACT)


@pytest.mark.parametrize("r", [0.01, 1.0, 9.9, 10.1, 1e4])
def test_negative_binomial(make, r):
    part = make("NegativeBinomial", LOC, dispersion=r)
    set_log(part, "log_dispersion", r)
    expected = stats.nbinom.logpmf(COUNTS, r, r / (r + LOC.exp()))
    torch.testing.assert_close(terms(part, COUNTS), torch.tensor(expected), rtol=1e-9, atol=1e-9)


def test_zero_inflated_negative_binomial(make):
    loss = doubles(-1.0, 0.0, 2.0, -30.0)
    part = make(
        "ZeroInflatedNegativeBinomial", torch.stack([LOC, loss], -1).flatten(), dispersion=2
    )
    for x in (COUNTS, torch.zeros(4, dtype=torch.float64)):
        r = part.log_dispersion.exp().item()
        counts = torch.tensor(stats.nbinom.pmf(x, r, r / (r + LOC.exp())))
        logs = torch.tensor(stats.nbinom.logpmf(x, r, r / (r + LOC.exp())))
        gate = loss.sigmoid()
        positive = (-loss).sigmoid().log() + logs
        expected = torch.where(x == 0, (gate + (1 - gate) * counts).log(), positive)
        torch.testing.assert_close(terms(part, x), expected, **EXACT)


@pytest.mark.parametrize("kind", ["Poisson", "NegativeBinomial", "ZeroInflatedNegativeBinomial"])
def test_a_library_size_is_shared_out(make, kind):
    numbers = 2 if kind.startswith("Zero") else 1
    raw = torch.full((2 * 3 * numbers,), -60.0, dtype=torch.float64)
    raw[::numbers] = torch.arange(6.0, dtype=torch.float64)  # a loss of 0, where there is one
    part = make(kind, raw.reshape(2 * numbers, 3) if numbers == 1 else raw)
    z, library = torch.zeros(5, 4, 2, dtype=torch.float64), doubles(1.0, 10.0, 100.0, 1000.0)
    for given in (library, library.expand(5, 4)):
        mean = part(z, library=given).mean.detach()
        totals = mean.flatten(2).sum(-1)
        torch.testing.assert_close(totals, library.expand(5, 4), **EXACT)
        share = torch.arange(6.0, dtype=torch.float64).softmax(0)
        torch.testing.assert_close(mean[2, 3].flatten(), 1000 * share, **EXACT)
    with pytest.raises(ValueError, match=r"one total for each example, of shape \(5, 4\), not"):
        part(z, library=library[:, None, None])


def test_bad_options_are_told_in_one_line(make):
    numbers = torch.zeros(6)
    for kind, options, message in [
        ("Categorical", {"levels": 1}, "number of labels, at least 2, not 1"),
        ("DiscretizedLogistic", {"levels": 1}, "at least 2, not 1"),
        ("DiscretizedLogisticMixture", {"components": 0}, "at least 1, not 0"),
        ("DiscretizedLogisticMixture", {"initial": 0.0}, "a scale is positive, not 0"),
        ("DiscretizedLogisticMixture", {"levels": 0}, "at least 2, not 0"),
        ("StudentT", {"df": 1.0}, "above 1, so that the mean exists, or 'shared', not 1.0"),
        ("StudentT", {"df": "learned"}, "or 'shared', not 'learned'"),
        ("Laplace", {"scale": -1.0}, "a scale is positive, not -1"),
        ("Beta", {"precision": 0.0}, "a precision is positive, not 0"),
        ("Beta", {"precision": "own"}, "precision is a number, 'per-pixel', .* not 'own'"),
        ("NegativeBinomial", {"dispersion": 0}, "a dispersion is positive, not 0"),
        ("Normal", {"scale": "optimum"}, "'optimal', .* not 'optimum'"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            make(kind, numbers, **options)
        assert "\n" not in str(caught.value)
