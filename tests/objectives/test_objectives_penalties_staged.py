"""Weighted and regularised objectives in a compiled step: the same numbers, moving state."""

from __future__ import annotations

import gc
from itertools import pairwise

import pyro
import pytest
import torch
from catalogue import CASES
from compiled_equal import check_equal

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.adversarial import AdversarialELBO
from pyro_vae.objectives.beta import BetaELBO
from pyro_vae.objectives.capacity import CapacityELBO
from pyro_vae.objectives.dip import DIPELBO
from pyro_vae.objectives.factor import FactorELBO
from pyro_vae.objectives.free_bits import FreeBits
from pyro_vae.objectives.geco import GECO
from pyro_vae.objectives.info import InfoELBO
from pyro_vae.objectives.total_correlation import TotalCorrelationELBO
from pyro_vae.objectives.wasserstein import WassersteinELBO
from pyro_vae.schedules import Linear
from pyro_vae.training.compiled import CompiledSVI

WEIGHTED = {
    "beta": lambda **o: BetaELBO(Linear(4, 0.0, 2.0), **o),
    "beta, sampled": lambda **o: BetaELBO(0.0, "sampled", **o),
    "capacity": lambda **o: CapacityELBO(Linear(3, 1.0, 5.0), 0.3, **o),
    "free bits, dimension": lambda **o: FreeBits(Linear(3, 0.1, 0.2), **o),
    "free bits, site": lambda **o: FreeBits(0.1, "site", **o),
    "geco": lambda **o: GECO(2.0, **o),
}
REGULARISED = {
    "info": lambda **o: InfoELBO(0.5, 5.0, **o),
    "wasserstein": lambda **o: WassersteinELBO(Linear(3, 1.0, 5.0), **o),
    "total correlation": lambda **o: TotalCorrelationELBO(examples=60, **o),
    "total correlation, weighted": lambda **o: TotalCorrelationELBO(
        examples=60, sampling="weighted", **o
    ),
    "factor": lambda **o: FactorELBO(5.0, **o),
    "adversarial": lambda **o: AdversarialELBO(5.0, **o),
    "dip-i": lambda **o: DIPELBO("i", **o),
    "dip-ii": lambda **o: DIPELBO("ii", **o),
}
ALL = {**WEIGHTED, **REGULARISED}
#: Those whose loss at one seed differs between two calls, as they learn from the first.
LEARNING = ("geco",)


@pytest.mark.parametrize("name", ALL)
def test_three_compiled_steps(name):
    case = CASES["ours-bernoulli"]()
    objective = ALL[name]()
    svi = CompiledSVI(
        case.model,
        case.guide,
        pyro.optim.Adam({"lr": 1e-3}),
        objective,
        backend="none",
        strict=True,
    )
    losses = [svi.step(*case.args) for _ in range(3)]
    assert svi.compilations == 1
    assert all(torch.tensor(loss).isfinite() for loss in losses)


@pytest.mark.parametrize("options", [{}, {"particles": 3}], ids=["one", "particles"])
@pytest.mark.parametrize("name", [name for name in ALL if name not in LEARNING])
def test_compiled_equals_eager(name, options):
    case = CASES["ours-bernoulli"]()
    for program in (case.model, case.guide):
        program.double()
    objective = ALL[name](**options)
    objective.double()
    check_equal(case.model, case.guide, objective, tuple(a.double() for a in case.args), {}, 1e-9)


@pytest.mark.parametrize("name", WEIGHTED)
def test_discrete_latents_compile_too(name):
    if "dimension" in name:
        pytest.skip("refused: its latents are not reparameterised")
    case = CASES["discrete"]()
    svi = CompiledSVI(
        case.model,
        case.guide,
        pyro.optim.Adam({"lr": 1e-3}),
        ALL[name](),
        backend="none",
        strict=True,
    )
    for _ in range(3):
        assert torch.tensor(svi.step(*case.args)).isfinite()
    assert svi.compilations == 1


def compiled(objective, steps: int):
    gc.collect()  # programs that end while others are staged take their parameters with them
    case = CASES["ours-bernoulli"]()
    svi = CompiledSVI(
        case.model,
        case.guide,
        pyro.optim.Adam({"lr": 1e-3}),
        objective,
        backend="none",
        strict=True,
    )
    seen = []
    for _ in range(steps):
        svi.step(*case.args)
        seen.append({k: float(v) for k, v in objective.named_buffers() if v.dim() == 0})
    assert svi.compilations == 1
    return seen


def test_schedules_multipliers_and_averages_move_in_compiled_steps():
    betas = [state["beta"] for state in compiled(BetaELBO(Linear(4, 0.0, 2.0)), 6)]
    assert betas == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    states = compiled(GECO(0.0, rate=0.5), 5)  # log p(x|z) is far below 0: violated
    multipliers = [state["multiplier"] for state in states]
    growth = [b / a for a, b in pairwise(multipliers)]
    assert growth == pytest.approx([torch.tensor(0.5).exp().item()] * 4, rel=1e-6)
    assert states[-1]["seen"] == pytest.approx(1 - 0.99**5)
    shares = [state["critic_share"] for state in compiled(FactorELBO(1.0), 5)]
    assert len(set(shares)) == 5


def test_a_compiled_critic_learns():
    case = CASES["ours-bernoulli"]()
    objective = AdversarialELBO(1.0)
    svi = CompiledSVI(
        case.model,
        case.guide,
        pyro.optim.Adam({"lr": 1e-3}),
        objective,
        backend="none",
        strict=True,
    )
    before = None
    for _ in range(4):
        svi.step(*case.args)
        now = [p.detach().clone() for p in objective.critic.parameters()]
        assert before is None or not any(
            torch.equal(a, b) for a, b in zip(before, now, strict=True)
        )
        before = now
    assert svi.compilations == 1


def test_the_plain_elbo_beside_it():
    """A weight of one compiles to the ELBO's own loss."""
    losses = []
    for objective in (ELBO(), BetaELBO(1.0)):
        pyro.clear_param_store()
        case = CASES["ours-bernoulli"]()
        svi = CompiledSVI(
            case.model,
            case.guide,
            pyro.optim.Adam({"lr": 1e-3}),
            objective,
            backend="none",
            strict=True,
        )
        pyro.set_rng_seed(0)
        losses.append([svi.step(*case.args) for _ in range(4)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
