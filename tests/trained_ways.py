"""What every family of programs promises: it trains by stock SVI, by fit, compiled and resumed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor

from pyro_vae import ELBO, explain, fit
from pyro_vae.programs import VAE
from pyro_vae.training.compiled import CompiledSVI


def trains_everywhere(
    pair: VAE, args: tuple[Tensor, ...], folder: Path, mean_field: bool = True
) -> None:
    """Clean in ``explain``; every parameter moves in stock SVI, compiled SVI and fit; resumes."""
    found = explain(*pair, *args)
    assert found.problems == []
    for loss in (
        Trace_ELBO(),
        TraceMeanField_ELBO() if mean_field else Trace_ELBO(num_particles=2),
    ):
        pyro.clear_param_store()
        twin = copy.deepcopy(pair)
        svi = SVI(*twin, pyro.optim.Adam({"lr": 1e-2}), loss)
        moves(pair, twin, [svi.step(*args) for _ in range(3)])
    twin = copy.deepcopy(pair)
    adam = pyro.optim.Adam({"lr": 1e-2})
    compiled = CompiledSVI(*twin, adam, ELBO(particles=2), backend="none", strict=True)
    moves(pair, twin, [compiled.step(*args) for _ in range(4)])
    assert compiled.compilations == 1
    resumes(pair, args, folder)


def moves(before: VAE, after: VAE, losses: list[float]) -> None:
    assert torch.tensor(losses).isfinite().all()
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert new.isfinite().all() and not torch.equal(old, new), name


def resumes(pair: VAE, args: tuple[Tensor, ...], folder: Path) -> None:
    """Two epochs, and then a third, are three epochs; the state dict loads into a new pair."""
    options: dict[str, Any] = {"batch_size": 8, "lr": 1e-2, "schedule": "constant"}
    options["progress"] = False
    whole, parts = copy.deepcopy(pair), copy.deepcopy(pair)
    fit(*whole, args, epochs=3, validation=args, **options)
    file = folder / "run.pt"
    fit(*parts, args, epochs=2, validation=args, checkpoint=file, **options)
    again = copy.deepcopy(pair)
    fit(*again, args, epochs=3, validation=args, resume=file, **options)
    moves(pair, whole, [0.0])
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    again.load_state_dict(parts.state_dict())
