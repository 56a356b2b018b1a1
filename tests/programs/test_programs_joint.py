"""log p(x, z) of a model as a function, called from anywhere."""

from __future__ import annotations

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import auxiliary, binary, hierarchical, ours
from linear_gaussian_programs import known
from pyro import poutine

from pyro_vae.programs import VAE, log_joint


def test_it_is_the_density_of_the_model():
    case = known()
    z = torch.randn(4, 2, len(case.x), 3, dtype=torch.float64)
    prior = dist.Normal(torch.zeros(3).double(), 1.0).to_event(1).log_prob(z)
    mean = z @ case.truth.W.T + case.truth.mean
    likelihood = dist.Normal(mean, case.truth.sigma).to_event(1).log_prob(case.x)
    found = log_joint(case.model)(case.x, z)
    torch.testing.assert_close(found, prior + likelihood, rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(log_joint(case.model)(case.x, z[0, 0]), found[0, 0])


def test_bayes_rule_holds():
    case = known()
    mean, covariance = case.truth.posterior(case.x)
    q = dist.MultivariateNormal(mean, covariance)
    z = q.sample()
    evidence = log_joint(case.model)(case.x, z) - q.log_prob(z)
    torch.testing.assert_close(evidence, case.truth.log_evidence(case.x), rtol=0, atol=1e-9)


def test_nothing_outside_sees_it_or_changes_it():
    case = known()
    z = torch.randn(len(case.x), 3, dtype=torch.float64)
    density = log_joint(case.model)
    expected = density(case.x, z)
    with (
        poutine.trace() as tracer,
        poutine.scale(scale=3.0),
        pyro.plate("particles", 7, dim=-2),
        pyro.plate("data", len(case.x)),
    ):
        assert torch.equal(density(case.x, z), expected)
        pyro.sample("after", dist.Normal(0.0, 1.0))
    assert {"z", "x"}.isdisjoint(tracer.trace.nodes) and "after" in tracer.trace.nodes
    assert tracer.trace.nodes["after"]["value"].shape == (7, len(case.x))
    # Neither does a model that fails leave anything behind.
    with pyro.plate("data", 2):
        with pytest.raises(RuntimeError, match="stop"):
            log_joint(_stopping)(case.x, z)
        assert pyro.sample("inside", dist.Normal(0.0, 1.0)).shape == (2,)
    with pyro.plate("other", 3) as plate:
        assert plate.shape == (3,)


def _stopping(x):
    raise RuntimeError("stop")


def test_a_copied_pair_has_the_copied_model():
    case = ours()
    case.guide.density = log_joint(case.model)
    twin = copy.deepcopy(VAE(case.model, case.guide))
    assert twin.guide.density.model is twin.model is not case.model
    assert len(list(case.guide.parameters())) == 4, "theta is not the guide's"


def masked(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        pyro.deterministic("twice", 2 * z)
        with poutine.mask(mask=x[:, 0] > 0):
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def test_a_masked_example_has_its_prior_alone():
    x = torch.tensor([[1.0, 2.0], [-1.0, 2.0]])
    z = torch.zeros(2, 2)
    found = log_joint(masked)(x, z)
    normal = dist.Normal(0.0, 1.0)
    prior = normal.log_prob(z).sum(-1)
    assert torch.allclose(
        found, prior + torch.stack([normal.log_prob(x[0]).sum(), x.new_zeros(())])
    )


@pytest.mark.parametrize(
    ("case", "site", "message"),
    [
        (ours, "latent", "no site 'latent'"),
        (hierarchical, "z1", "draws 'z2' besides"),
        (auxiliary, "z", "draws 'shift' besides"),
    ],
)
def test_a_model_without_one_latent_is_refused(case, site, message):
    made = case()
    with pytest.raises(ValueError, match=message):
        log_joint(made.model, site)(made.args[0], torch.zeros(5, 2))


def pixels(x):
    with pyro.plate("pixels", 6, dim=-2), pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x.T)


def nothing(x):
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(0.0, 1.0).expand([6]).to_event(1), obs=x)


def test_other_plates_and_names_are_refused():
    with pytest.raises(ValueError, match="'z' of the model is not in one plate alone"):
        log_joint(pixels)(binary(), torch.zeros(6, 5))
    with pytest.raises(ValueError, match="no site 'z'"):
        log_joint(nothing)(binary(), torch.zeros(5, 2))
