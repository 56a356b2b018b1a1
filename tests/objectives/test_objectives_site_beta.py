"""A weight for each latent's KL: against the plain terms, and where it is one for all."""

from __future__ import annotations

import pyro
import pytest
import torch
from catalogue import CASES, hierarchical

from pyro_vae import ELBO, ProgramError
from pyro_vae.objectives import BetaELBO, FreeBits
from pyro_vae.objectives.site_beta import SiteBetaELBO
from pyro_vae.schedules import Linear
from pyro_vae.terms import site_terms
from pyro_vae.terms.kl import kl_term
from pyro_vae.training.compiled import CompiledSVI


def loss(objective, case) -> float:
    pyro.set_rng_seed(4)
    return objective.loss(case.model, case.guide, *case.args)


@pytest.mark.parametrize("kl", ["auto", "sampled"])
@pytest.mark.parametrize("order", ["top-down", "bottom-up"])
def test_it_is_the_elbo_less_so_many_kls(order, kl):
    case = hierarchical(order)
    pyro.set_rng_seed(4)
    terms = site_terms(case.model, case.guide, *case.args)
    z2 = terms["z2"]
    analytic = kl == "auto"  # z2's prior has no parent, so its closed form holds in both orders
    expected = loss(ELBO(kl=kl), case) + 2.5 * kl_term(z2, analytic).sum().item()
    found = loss(SiteBetaELBO({"z2": 3.5}, kl=kl), case)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["hierarchical", "discrete", "bare-subsampled"])
def test_one_weight_for_all_is_beta(name):
    case = CASES[name]()
    latents = [
        site.name for site in site_terms(case.model, case.guide, *case.args).of_kind("latent")
    ]
    gradients = []
    for objective in (SiteBetaELBO(dict.fromkeys(latents, 0.3)), BetaELBO(0.3)):
        pyro.set_rng_seed(4)
        value = objective.differentiable_loss(case.model, case.guide, *case.args)
        store = list(pyro.get_param_store().named_parameters())
        grads = torch.autograd.grad(value, [p for _, p in store], allow_unused=True)
        gradients.append([value.detach(), *(g for g in grads if g is not None)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_schedules_move_each_layer_by_itself():
    case = hierarchical()
    objective = SiteBetaELBO({"z1": Linear(2), "z2": Linear(4)})
    seen = []
    svi = CompiledSVI(
        case.model, case.guide, pyro.optim.Adam({"lr": 1e-3}), objective, backend="none",
        strict=True,
    )  # fmt: skip
    for _ in range(5):
        assert svi.step(*case.args) > 0
        seen.append(objective.weights())
    assert svi.compilations == 1
    assert [w["beta_z1"] for w in seen] == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert [w["beta_z2"] for w in seen] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_free_bits_can_be_for_one_layer():
    case = hierarchical()
    pyro.set_rng_seed(4)
    terms = site_terms(case.model, case.guide, *case.args)
    kl = kl_term(terms["z2"], True)
    free = kl.mean().item() + 0.7
    plain = loss(ELBO(), case)
    found = loss(FreeBits(free, per="site", site="z2"), case)
    assert found == pytest.approx(plain + 0.7 * kl.numel(), rel=1e-5)


def test_bad_weights_are_refused():
    case = hierarchical()
    with pytest.raises(ProgramError, match="no such latent site; there are: 'z2', 'z1'"):
        loss(SiteBetaELBO({"z3": 1.0}), case)
    with pytest.raises(ValueError, match="beta of 'z2' must be at least 0, not -1"):
        SiteBetaELBO({"z2": -1.0})
    with pytest.raises(ValueError, match="betas is empty"):
        SiteBetaELBO({})
