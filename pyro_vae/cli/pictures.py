"""The pictures of a run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_vae import evaluation, plots
from pyro_vae.families import Family, View
from pyro_vae.terms import ProgramError
from pyro_vae.training import History

from .build import Built
from .folder import RunFolder
from .plane import plane
from .prior_pictures import contours, quantiles

#: Examples of the test data that are encoded, and pairs of data and reconstruction shown.
ENCODED, PAIRS = 2000, 20
#: Rows of the latent traversals: at most so many, of dimensions that carry so much, in nats.
ROWS, CARRIES = 8, 0.01


def draw(folder: RunFolder, built: Built) -> list[Path]:
    """Draw every picture that the data and the latent space allow; return their files."""
    return [
        made(folder.pictures / f"{name}.html")
        if callable(made)
        else plots.save(made, folder.pictures / f"{name}.png")
        for name, made in pictures(folder.history, built)
    ]


def pictures(history: Path, built: Built) -> Iterator[tuple[str, Any]]:
    """Each picture by its name, drawn when its turn comes: Axes, or what writes a web page."""
    rows = History.from_csv(history) if history.exists() else History()
    if len(rows):
        columns = {name: rows[name] for name in rows.columns}
        yield "curves", plots.curves(columns, best_epoch=rows.best_epoch)
    view, family = built.view(limit=ENCODED, shuffled=True), built.family
    if family.latent is not None:
        yield from _by_dimension(family, view, family.latent)
    if view.image is not None:
        shown = view.first(PAIRS)
        means = evaluation.reconstruct(*view.programs, *shown, site="x")
        pairs = (family.shown(x, *shown[1:]).cpu() for x in (shown[0], means))
        yield "reconstructions", plots.reconstructions(*pairs, **view.look)
        yield "samples", sample_picture(family.generate(view, 64), view)
    yield from family.pictures(view)


def _by_dimension(family: Family, view: View, site: str) -> Iterator[tuple[str, Any]]:
    """What each dimension of the one latent holds."""
    model, guide = view.programs
    codes = _codes(guide, view, site)
    try:
        carried = evaluation.kl_per_dimension(model, guide, *view.arguments, site=site).cpu()
        yield "kl", plots.kl_per_dimension(carried)
    except ProgramError:  # no KL for each dimension
        carried = evaluation.active_units(guide, *view.arguments, site=site).variance.cpu()
    order = carried.argsort(descending=True).tolist()
    prior = family.prior_of(model)
    y = None if view.labels is None else view.labels.cpu()
    if len(order) >= 2:
        i, j = sorted(order[:2])
        circles = contours(prior, len(order))
        yield (
            "latent",
            plots.latent_scatter(codes, y, dims=(i, j), title="means of $q(z|x)$", **circles),
        )
    if view.image is None:
        return

    def decode(z: Tensor) -> Tensor:
        others = tuple(other[:1].expand(len(z), *other.shape[1:]) for other in view.others)
        x = evaluation.decode(model, view.x, z, *others, site=site, observed="x")
        return family.shown(x, *others).cpu()

    dims = carried.argsort(descending=True)[: max(1, min(ROWS, int((carried > CARRIES).sum())))]
    title = "decoded from the mean code, one dimension changed"
    yield (
        "traversals",
        plots.traversals(decode, codes.mean(0), dims=dims, title=title, **view.look),
    )
    icdf = quantiles(prior)
    if len(carried) == 2 and icdf is not None:
        yield "manifold", plots.manifold(decode, icdf=icdf, **view.look)
    box = plane(prior, codes)
    if box is not None:
        options = {"z": codes, "labels": y, "box": box, **view.look}
        yield "explorer", partial(plots.explorer, decode, **options)


def sample_picture(x: Tensor, view: View, mean: bool = True) -> Any:
    """A grid of what the model makes of its prior."""
    what = r"means of $p(x|z)$" if mean else r"$x \sim p(x|z)$"
    return plots.samples(x.cpu(), title=rf"{what}, $z \sim p(z)$", **view.look)


def _codes(guide: Any, view: View, site: str) -> Tensor:
    """The mean of q(z|x), or a draw where its family has none in closed form."""
    q = evaluation.encode(guide, *view.arguments, site=site)
    try:
        return q.mean.detach().cpu()
    except NotImplementedError:
        with torch.no_grad():
            return q.sample().cpu()
