"""With the exact posterior as the guide, the bound is the evidence: no gap, no noise."""

import torch
from linear_gaussian_programs import known

from pyro_vae import ELBO
from pyro_vae.evaluation import log_evidence
from pyro_vae.terms import site_terms


def test_the_sampled_elbo_equals_the_evidence_at_every_sample():
    case = known()
    weights = site_terms(case.model, case.guide, case.x, particles=7).log_weights
    exact = case.truth.log_evidence(case.x)
    assert weights.shape == (7, len(case.x))
    torch.testing.assert_close(weights, exact.expand(7, -1), rtol=0, atol=1e-9)


def test_the_objective_equals_the_evidence():
    case = known()
    loss = ELBO(kl="sampled").loss(case.model, case.guide, case.x)
    assert abs(-loss - case.truth.log_evidence(case.x).sum().item()) < 1e-9


def test_importance_sampling_equals_the_evidence_for_any_particles():
    case = known()
    exact = case.truth.log_evidence(case.x)
    for particles in (1, 2, 33):
        evidence = log_evidence(case.model, case.guide, case.x, particles=particles)
        torch.testing.assert_close(evidence.log_evidence, exact, rtol=0, atol=1e-9)
        worth = torch.full_like(exact, particles)
        torch.testing.assert_close(evidence.effective_sample_size, worth, rtol=1e-9, atol=0)
