"""What each layer of a hierarchy carries, and decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from pyro_vae import evaluation

from .grids import ACROSS, grid
from .view import Finding, View

#: A layer of fewer nats carries nothing.
UNUSED = 0.05
#: At most so many rows of the picture: of deeper hierarchies, evenly spread.
ROWS = 8


def kl_of_layers(view: View) -> list[Finding]:
    """Nats that each layer takes from the bound."""
    found = evaluation.kl_per_site(*view.programs, *view.arguments)
    means = {name: float(found[name].mean()) for name in sorted(found, key=_number)}
    each = ", ".join(f"{name} {kl:.2f}" for name, kl in means.items())
    text = f"KL of layers   {each} nats"
    unused = [name for name, kl in means.items() if kl < UNUSED]
    if unused and len(means) > 1:
        slowly = "--objective SiteBetaELBO" + "".join(
            f" --objective.betas.{name} Linear --objective.betas.{name}.length 300"
            for name in unused
        )
        text += f" ({' and '.join(unused)} unused: let the KL in slowly, {slowly})"
    return [Finding("kl_per_layer", means, text)]


def kept_from_the_top(view: View) -> Iterator[tuple[str, Any]]:
    """Latents kept from the top down, ever more of them, and the others drawn anew."""
    if view.image is None:
        return
    few = view.first(ACROSS)
    sites = evaluation.kl_per_site(*view.programs, *view.first(1), particles=1)
    top_down = sorted(sites, key=_number, reverse=True)
    counts = torch.linspace(1, len(top_down), min(len(top_down), ROWS)).round().int().tolist()
    rows, names = [few[0]], ["data"]
    for count in counts:
        kept = top_down[:count]
        rows.append(
            evaluation.redraw(*view.programs, *few, keep=kept, draws=1, site="x").squeeze(0)
        )
        names.append(kept[0] if count == 1 else f"{kept[0]} to {kept[-1]}")
    title = "kept as inferred; the latents below drawn anew"
    yield "layers", grid(view, torch.stack(rows), title, names)


def _number(site: str) -> int:
    return int(site.removeprefix("z"))
