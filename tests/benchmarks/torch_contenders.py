"""The same VAE in Pyro as it stands, in plain PyTorch, and in this package."""

from __future__ import annotations

import by_hand
import pyro
from interleave import Turn, looped, timed_by_itself
from pyro.infer import SVI, RenyiELBO, Trace_ELBO, TraceMeanField_ELBO
from setting import Setting, Step

from pyro_vae.objectives import ELBO, ImportanceWeightedELBO
from pyro_vae.training import CompiledSVI

REFERENCE = "Pyro SVI, Trace_ELBO"
IWAE_REFERENCE = "Pyro SVI, RenyiELBO(alpha=0)"


def svi(setting: Setting, loss, kind=SVI) -> Step:
    """``pyro.infer.SVI`` as its documentation has it, or the same with one word changed."""
    model, guide = setting.programs()
    inference = kind(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=loss)
    x = setting.x()

    def step() -> float:
        return inference.step(x)

    step.svi = inference
    return step


def contenders(setting: Setting) -> dict[str, Turn]:
    """Everybody that needs only torch and Pyro, and Lightning where it is installed."""
    k = setting.particles
    if k == 1:
        steps = {
            REFERENCE: svi(setting, Trace_ELBO()),
            "Pyro SVI, TraceMeanField_ELBO": svi(setting, TraceMeanField_ELBO()),
            "Pyro SVI, ELBO": svi(setting, ELBO()),
            "PyTorch by hand": by_hand.step(setting, compiled=False),
            "PyTorch by hand, torch.compile": by_hand.step(setting, compiled=True),
            "CompiledSVI, Trace_ELBO": svi(setting, Trace_ELBO(), CompiledSVI),
            "CompiledSVI, TraceMeanField_ELBO": svi(setting, TraceMeanField_ELBO(), CompiledSVI),
            "CompiledSVI, ELBO": svi(setting, ELBO(), CompiledSVI),
        }
    else:
        renyi = {"alpha": 0, "num_particles": k, "vectorize_particles": True}
        renyi["max_plate_nesting"] = 1
        steps = {
            IWAE_REFERENCE: svi(setting, RenyiELBO(**renyi)),
            "Pyro SVI, ImportanceWeightedELBO": svi(setting, ImportanceWeightedELBO(k)),
            "PyTorch by hand": by_hand.step(setting, compiled=False),
            "PyTorch by hand, torch.compile": by_hand.step(setting, compiled=True),
            "CompiledSVI, ImportanceWeightedELBO": svi(
                setting, ImportanceWeightedELBO(k), CompiledSVI
            ),
        }
    if setting.device == "cuda":
        steps["PyTorch by hand, one CUDA graph"] = by_hand.graphed_step(setting)
    turns = {name: looped(step) for name, step in steps.items()}
    lightning = by_hand.lightning_turn(setting)
    if lightning is not None:
        turns["Lightning, by hand"] = timed_by_itself(lightning)
    return turns
