"""What each latent dimension is used for: active units, and KL per dimension."""

import math

import pyro
import pyro.distributions as dist
import pyro.distributions.transforms as transforms
import pytest
import torch
from catalogue import binary, discrete, hierarchical, ours
from linear_gaussian_programs import known

from pyro_vae.evaluation import active_units, kl_per_dimension
from pyro_vae.objectives import split
from pyro_vae.terms import ProgramError, site_terms


def chain(slope):
    """z1 is drawn after z2, and only through it depends on x: E[z1|x] = 2 slope x."""

    def guide(x):
        with pyro.plate("data", len(x)):
            z2 = pyro.sample("z2", dist.Normal(slope * x, 1.0).to_event(1))
            pyro.sample("z1", dist.Normal(2 * z2, 1.0).to_event(1))

    return guide


def test_active_units_of_a_known_guide():
    case = known(n=500, latent=3)
    units = active_units(case.guide, case.x)
    torch.testing.assert_close(units.variance, case.truth.posterior(case.x)[0].var(0))
    assert units.count == 3


def test_the_threshold_is_of_the_variance():
    x = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]) * torch.tensor([0.08, 0.06])  # var 0.0128, 0.0072

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x, 5.0).to_event(1))

    assert active_units(guide, x).active.tolist() == [True, False]
    assert active_units(guide, x, threshold=0.001).count == 2
    assert active_units(guide, x, threshold=0.1).count == 0


def test_a_site_drawn_after_another_is_averaged_over_it():
    n, particles = 4000, 32
    x = torch.randn(n, 1, generator=torch.Generator().manual_seed(1)).double()
    units = active_units(chain(0.5), x, site="z1", particles=particles)
    # Its mean given z2 has variance 4 around x, so a mean over the runs 4/32 around x; the
    # variance of n such sums has relative error sqrt(2 / n).
    spread = x.var().item() + 4 / particles
    assert units.variance.item() == pytest.approx(x.var().item(), abs=4 * spread * (2 / n) ** 0.5)
    # And a unit that ignores x is not active, though 4/32 alone is above the threshold.
    assert active_units(chain(0.0), x, site="z1", particles=particles).count == 0
    assert active_units(chain(0.0), x, site="z2").variance.item() == 0


def test_a_flow_is_averaged_over_its_draws():
    def guide(x):
        with pyro.plate("data", len(x)):
            base = dist.Normal(x, 0.5).to_event(1)
            pyro.sample("z", dist.TransformedDistribution(base, [transforms.ExpTransform()]))

    x = torch.log(torch.tensor([[1.0], [2.0]])).double()  # E = exp(mu + 1/8): the variance is exact
    exact = math.exp(0.25) * 0.5
    # Of e^m, m = (0, log 2): each mean has variance (e^{1/4} - 1) e^{2m + 1/4} / 400, so the
    # variance (a - b)^2 / 2 has deviation |a - b| sqrt(v_a + v_b) = 0.076 around 0.64.
    got = active_units(guide, x, particles=400).variance.item()
    assert got == pytest.approx(exact, abs=4 * 0.076)


def test_batches_inside_the_plate_are_units():
    case = discrete()
    assert active_units(case.guide, *case.args, site="b").variance.shape == (1,)
    units = active_units(case.guide, *case.args, site="c")
    assert units.variance.shape == (6,)


def test_one_example_has_no_variance():
    case = ours()
    units = active_units(case.guide, binary()[:1])
    assert units.variance.isnan().all()
    assert units.count == 0


def test_a_site_outside_the_plate_has_no_units():
    def guide(x):
        pyro.sample("w", dist.Normal(0.0, 1.0))

    with pytest.raises(ProgramError, match="site 'w' lies outside the data plate"):
        active_units(guide, binary())


def test_kl_per_dimension_sums_to_the_kl():
    case = ours().double()
    model, guide = case.model.double(), case.guide.double()
    kl = kl_per_dimension(model, guide, *case.args)
    q = guide.posterior(*case.args)
    mu, sigma = q.base_dist.loc, q.base_dist.scale
    exact = (0.5 * (mu**2 + sigma**2 - 1) - sigma.log()).mean(0)
    torch.testing.assert_close(kl, exact.detach())
    total = split(site_terms(model, guide, *case.args)).kl.mean()
    torch.testing.assert_close(kl.sum(), total)


def test_kl_per_dimension_is_a_mean_over_all_parts(monkeypatch):
    case = ours()
    whole = kl_per_dimension(case.model, case.guide, binary(50))
    monkeypatch.setattr("pyro_vae.evaluation.capacity.CPU_MEMORY", 500)
    torch.testing.assert_close(kl_per_dimension(case.model, case.guide, binary(50)), whole)


def test_kl_per_dimension_of_hierarchies():
    case = hierarchical()
    for site in ("z1", "z2"):
        assert kl_per_dimension(case.model, case.guide, *case.args, site=site).shape == (2,)
    with pytest.raises(ProgramError, match="2 latent sites, 'z2', 'z1'"):
        kl_per_dimension(case.model, case.guide, *case.args)
    case = hierarchical("bottom-up")
    with pytest.raises(ProgramError, match="'z1' has no analytic KL: the guide draws 'z2'"):
        kl_per_dimension(case.model, case.guide, *case.args, site="z1")


def test_kl_per_dimension_of_binary_latents():
    case = discrete()
    kl = kl_per_dimension(case.model, case.guide, *case.args, site="b")
    q = torch.sigmoid(pyro.param("discrete.q")).detach()
    exact = (q * (q / 0.3).log() + (1 - q) * ((1 - q) / 0.7).log()).mean()
    torch.testing.assert_close(kl, exact.reshape(1))
    with pytest.raises(ProgramError, match="site 'c' has no KL for each dimension"):
        kl_per_dimension(case.model, case.guide, *case.args, site="c")


def test_what_does_not_factorise_is_named():
    case = known()
    with pytest.raises(ProgramError, match=r"site 'z' .*q \(MultivariateNormal\)"):
        kl_per_dimension(case.model, case.guide, case.x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Cauchy(x.new_zeros(len(x), 3), 1.0).to_event(1))

    with pytest.raises(ProgramError, match="closed form is registered for Cauchy against Normal"):
        kl_per_dimension(case.model, guide, case.x)
