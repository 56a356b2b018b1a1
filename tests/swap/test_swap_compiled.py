"""A compiled step of any pair is the eager one."""

from __future__ import annotations

import pyro
import pytest
import torch
from compiled_equal import check_equal
from swap.swap_parts import build
from swap.test_swap_cross import every, turns

from pyro_vae.objectives import ELBO
from pyro_vae.training.compiled import CompiledSVI

#: Sums of some hundreds of numbers in another order, in double precision.
RELATIVE = 1e-9


@every(25)
def test_staged_and_eager_agree(prior, posterior, likelihood):
    programs = build(prior, posterior, likelihood).double()
    objective = ELBO(particles=2)
    check_equal(programs.model, programs.guide, objective, programs.args, {}, RELATIVE)


@every(50)
def test_steps_are_compiled_once(prior, posterior, likelihood):
    programs = build(prior, posterior, likelihood)
    adam = pyro.optim.Adam({"lr": 1e-3})
    svi = CompiledSVI(*programs.both, adam, ELBO(), backend="none", strict=True)
    before = {name: p.detach().clone() for name, p in programs.parameters().items()}
    losses = [svi.step(*programs.args) for _ in range(4)]
    assert svi.compilations == 1
    assert torch.tensor(losses).isfinite().all()
    for name, parameter in programs.parameters().items():
        assert parameter.isfinite().all() and not torch.equal(parameter, before[name]), name


#: Without Vamp priors: one on a flow inverts it layer by layer, which takes minutes to compile.
FEW = [turn for turn in turns() if turn[0] != "VampPrior"][::25]


@pytest.mark.slow
@pytest.mark.parametrize(("prior", "posterior", "likelihood"), FEW)
def test_the_compilers_step_is_the_eager_one(prior, posterior, likelihood):
    from torch._inductor import config

    programs = build(prior, posterior, likelihood).double()
    objective = ELBO(particles=2)
    with config.patch(fallback_random=True):  # the compiler's own random numbers are others
        check_equal(
            programs.model, programs.guide, objective, programs.args, {}, RELATIVE, "inductor"
        )
