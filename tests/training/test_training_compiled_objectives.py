"""Every objective under the compiler: the recorded run's own numbers."""

from __future__ import annotations

import pyro
import pytest
import torch
from catalogue import CASES

from pyro_vae.objectives import (
    CIWAE,
    DIPELBO,
    ELBO,
    GECO,
    PIWAE,
    AdversarialELBO,
    BetaELBO,
    CapacityELBO,
    ChiUpperBound,
    FactorELBO,
    FreeBits,
    ImportanceWeightedELBO,
    InfoELBO,
    RenyiELBO,
    ThermodynamicELBO,
    TotalCorrelationELBO,
    WakeSleepELBO,
)
from pyro_vae.schedules import Linear
from pyro_vae.training import CompiledSVI

OBJECTIVES = {
    "beta": lambda: BetaELBO(Linear(5)),
    "stl": lambda: ELBO(kl="sampled", estimator="stl"),
    "learned": lambda: ELBO(kl="sampled", particles=2, estimator="learned"),
    "beta-stl": lambda: BetaELBO(Linear(5), kl="sampled", estimator="stl"),
    "capacity": CapacityELBO,
    "free-bits": FreeBits,
    "geco": lambda: GECO(3.0),
    "iwae": ImportanceWeightedELBO,
    "iwae-stl": lambda: ImportanceWeightedELBO(gradient="stl"),
    "iwae-dreg": lambda: ImportanceWeightedELBO(gradient="dreg"),
    "piwae": lambda: PIWAE(2, 3),
    "ciwae": CIWAE,
    "renyi": lambda: RenyiELBO(0.5),
    "chi": lambda: ChiUpperBound(particles=5),
    "thermodynamic": lambda: ThermodynamicELBO(particles=5),
    "wake-sleep": lambda: WakeSleepELBO(particles=3, sleep=0.5),
    "info": InfoELBO,
    "total-correlation": lambda: TotalCorrelationELBO(examples=100),
    "factor": FactorELBO,
    "adversarial": AdversarialELBO,
    "dip": DIPELBO,
}


def _train(make, backend, steps=5):
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    case = CASES["ours-bernoulli"]()
    objective = make()
    # Plain steps: Adam's first ones are signs, and take rounding for a direction.
    sgd = pyro.optim.SGD({"lr": 1e-3})
    svi = CompiledSVI(case.model, case.guide, sgd, objective, backend=backend, strict=True)
    losses = [svi.step(*case.args) for _ in range(steps)]
    assert svi.compilations == 1
    state = {**dict(pyro.get_param_store().named_parameters()), **dict(objective.named_buffers())}
    return losses, [value.detach().clone() for value in state.values()]


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_compiled_objective_is_the_recorded_one(name):
    from torch._inductor import config

    with config.patch(fallback_random=True):
        losses, state = _train(OBJECTIVES[name], "inductor")
    expected, reference = _train(OBJECTIVES[name], "none")
    assert losses == pytest.approx(expected, rel=1e-4)
    assert len(state) == len(reference)
    for mine, other in zip(state, reference, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)
