"""How the cost of a step grows with the mini-batch, the samples and the latent."""

from __future__ import annotations

from dataclasses import replace

import by_hand
import pyro
from interleave import interleaved, looped
from pyro.infer import Trace_ELBO
from setting import Setting
from torch_contenders import svi

from pyro_vae.training import CompiledSVI

AXES = {
    "batch": (32, 128, 512, 2048, 8192),
    "particles": (1, 10, 100),
    "latent": (2, 20, 200),
}
LABELS = {
    "batch": "examples in a mini-batch",
    "particles": "samples of the guide, ELBO",
    "latent": "latent dimensions",
}
NAMES = ("Pyro SVI", "PyTorch by hand, torch.compile", "CompiledSVI")


def growth(start: Setting, rounds: int) -> dict[str, dict[str, list[float]]]:
    """For each axis and contender the least milliseconds at each of its values."""
    found: dict[str, dict[str, list[float]]] = {}
    for axis, values in AXES.items():
        found[axis] = {name: [] for name in NAMES}
        for value in values:
            pyro.clear_param_store()
            setting = replace(start, **({} if axis == "particles" else {axis: value}))
            options = {"num_particles": value, "vectorize_particles": True, "max_plate_nesting": 1}
            bound = options if axis == "particles" and value > 1 else {}
            steps = {
                "Pyro SVI": svi(setting, Trace_ELBO(**bound)),
                "CompiledSVI": svi(setting, Trace_ELBO(**bound), CompiledSVI),
            }
            if not bound:  # by hand there is one sample, or another bound
                steps["PyTorch by hand, torch.compile"] = by_hand.step(setting, compiled=True)
            turns = {name: looped(step) for name, step in steps.items()}
            timings = interleaved(turns, rounds, repeat=3, warm=3)
            for name in NAMES:
                least = timings[name].least if name in timings else float("nan")
                found[axis][name].append(least)
    return found
