"""ELBO against Pyro's own estimators: the same value and gradients at the same random numbers."""

from __future__ import annotations

import pyro
import pytest
import torch
from catalogue import CASES, Case
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from pyro_vae.objectives import ELBO
from pyro_vae.terms import ProgramError, site_terms

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def value_and_gradients(objective, case: Case, seed: int = 7):
    """The loss, and the gradient of every parameter that either program registers."""
    pyro.set_rng_seed(seed)
    with poutine.trace(param_only=True) as capture:
        loss = objective.loss_and_grads(case.model, case.guide, *case.args)
    gradients = {}
    for name, site in capture.trace.nodes.items():
        parameter = site["value"].unconstrained()
        if parameter.grad is not None:  # a module may register what its programs do not use
            gradients[name] = parameter.grad.clone()
            parameter.grad = None
    return torch.as_tensor(loss), gradients


def case_of(name: str, dtype: torch.dtype) -> Case:
    case = CASES[name]()
    if dtype == torch.float64:
        for program in (case.model, case.guide):
            for cell in getattr(program, "__closure__", None) or ():
                if isinstance(cell.cell_contents, torch.nn.Module):
                    cell.cell_contents.double()
            if isinstance(program, torch.nn.Module):
                program.double()
        case = case.double()
    return case


def assert_same(ours, theirs, case: Case, dtype: torch.dtype) -> None:
    loss, gradients = value_and_gradients(ours, case)
    expected, expected_gradients = value_and_gradients(theirs, case)
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(loss, expected, rtol=tolerance, atol=tolerance, check_dtype=False)
    assert gradients.keys() == expected_gradients.keys() and gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected_gradients[name], rtol=tolerance, atol=tolerance, msg=name
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_sampled_equals_trace_elbo(name, dtype):
    assert_same(ELBO(kl="sampled"), Trace_ELBO(), case_of(name, dtype), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name]().analytic])
def test_analytic_equals_trace_mean_field_elbo(name, dtype):
    case = case_of(name, dtype)
    assert_same(ELBO(kl="analytic"), TraceMeanField_ELBO(), case, dtype)
    assert_same(ELBO(kl="auto"), TraceMeanField_ELBO(), case, dtype)


@pytest.mark.parametrize("vectorize", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_particles_equal_trace_elbo(name, vectorize):
    case = case_of(name, torch.float64)
    nesting = 2 if name == "discrete" else 1
    theirs = Trace_ELBO(num_particles=3, vectorize_particles=vectorize, max_plate_nesting=nesting)
    ours = ELBO(kl="sampled", particles=3, vectorize=vectorize)
    assert_same(ours, theirs, case, torch.float64)


def test_loss_is_the_loss_of_loss_and_grads_and_needs_no_gradient():
    case = CASES["ours-bernoulli"]()
    pyro.set_rng_seed(1)
    loss = ELBO().loss(case.model, case.guide, *case.args)
    pyro.set_rng_seed(1)
    assert loss == pytest.approx(ELBO().loss_and_grads(case.model, case.guide, *case.args))


@pytest.mark.parametrize("name", CASES)
def test_terms_add_up_to_the_elbo(name):
    case = case_of(name, torch.float64)
    terms = site_terms(case.model, case.guide, *case.args, particles=4)
    report = ELBO(kl="sampled").split(terms)
    torch.testing.assert_close(report.elbo, report.reconstruction - report.kl)
    assert report.elbo.shape == (5,)
    for site in terms.values():
        batch = 5 if site.per_example else 1
        for term in (site.log_p, site.log_q):
            assert term is None or term.shape == (4, batch)
    if all(site.per_example for site in terms.values()):
        torch.testing.assert_close(terms.log_weights.mean(0), report.elbo)
        # A bound per example: each row is what the example gets when it comes with no other.
        assert terms.log_weights.shape == (4, 5)


def test_analytic_without_a_closed_form_names_the_site():
    case = CASES["hierarchical-bottom-up"]()
    with pytest.raises(ProgramError, match=r"'z1' has no analytic KL: the guide draws 'z2'"):
        ELBO(kl="analytic").loss(case.model, case.guide, *case.args)


def test_analytic_at_a_discrete_site_names_the_site():
    case = CASES["discrete"]()
    with pytest.raises(ProgramError, match=r"'b' has no analytic KL: q is not reparameterised"):
        ELBO(kl="analytic").loss(case.model, case.guide, *case.args)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kl": "exact"}, "kl is one of"), ({"particles": 0}, "particles is a whole number")],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ELBO(**options)
