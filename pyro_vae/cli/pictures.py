"""The pictures of a run."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from pyro_vae import evaluation, plots
from pyro_vae.training import History

from .build import Built
from .folder import RunFolder


def draw(folder: RunFolder, built: Built) -> list[Path]:
    """Draw every picture that the data and the latent space allow; return their files."""
    folder.pictures.mkdir(parents=True, exist_ok=True)
    model, guide = built.vae
    x = built.dataset.test[:2000]
    device = next(model.parameters()).device
    x = x.to(device)
    drawn = []

    def keep(axes: object, name: str) -> None:
        drawn.append(plots.save(axes, folder.pictures / f"{name}.png"))  # type: ignore[arg-type]

    if folder.history.exists():
        history = History.from_csv(folder.history)
        if len(history):
            columns = {name: history[name] for name in history.columns}
            keep(plots.curves(columns, best_epoch=history.best_epoch), "curves")
    q = evaluation.encode(guide, x)
    active = evaluation.active_units(guide, x).variance.argsort(descending=True)
    labels = built.dataset.labels
    y = labels["test"][: len(x)] if labels else None
    if len(active) >= 2:
        first, second = sorted(active[:2].tolist())
        keep(plots.latent_scatter(q.mean.cpu(), y, dims=(first, second)), "latent")
    keep(plots.kl_per_dimension(evaluation.kl_per_dimension(model, guide, x).cpu()), "kl")
    shape = picture_shape(tuple(x.shape[1:]))
    if shape is None:
        return drawn

    def decode(z: torch.Tensor) -> torch.Tensor:
        return evaluation.decode(model, x, z.to(device)).cpu()

    shown = x[:16]
    keep(
        plots.reconstructions(
            shown.cpu(), evaluation.reconstruct(model, guide, shown).cpu(), shape=shape
        ),
        "reconstructions",
    )
    keep(plots.samples(evaluation.generate(model, x, 64).cpu(), shape=shape), "samples")
    centre = torch.zeros(len(active))
    keep(plots.traversals(decode, centre, dims=active[:8].tolist(), shape=shape), "traversals")
    if len(active) == 2:
        keep(plots.manifold(decode, shape=shape), "manifold")
    return drawn


def picture_shape(event: tuple[int, ...]) -> tuple[int, ...] | None:
    """How an event is shown as an image, ``None`` where it is none."""
    if len(event) == 3 and event[0] in (1, 3):
        return event
    if len(event) == 2:
        return event
    side = math.isqrt(event[0]) if len(event) == 1 else 0
    return (side, side) if side >= 4 and side * side == event[0] else None
