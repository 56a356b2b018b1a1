"""The pictures of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_vae import evaluation, plots
from pyro_vae.terms import ProgramError
from pyro_vae.training import History

from .build import Built
from .folder import RunFolder
from .prior_pictures import contours, quantiles

#: Examples of the test data that are encoded, and pairs of data and reconstruction shown.
ENCODED, PAIRS = 2000, 20
#: Rows of the latent traversals: at most so many, of dimensions that carry so much, in nats.
ROWS, CARRIES = 8, 0.01


def draw(folder: RunFolder, built: Built) -> list[Path]:
    """Draw every picture that the data and the latent space allow; return their files."""
    return [
        plots.save(axes, folder.pictures / f"{name}.png")
        for name, axes in pictures(folder.history, built)
    ]


def pictures(history: Path, built: Built) -> Iterator[tuple[str, Any]]:
    """Each picture by its name, drawn when its turn comes."""
    model, guide = built.vae
    x = built.split("test", limit=ENCODED)
    rows = History.from_csv(history) if history.exists() else History()
    if len(rows):
        columns = {name: rows[name] for name in rows.columns}
        yield "curves", plots.curves(columns, best_epoch=rows.best_epoch)
    codes = _codes(guide, x)
    try:
        carried = evaluation.kl_per_dimension(model, guide, x).cpu()
        yield "kl", plots.kl_per_dimension(carried)
    except ProgramError:  # no KL for each dimension
        carried = evaluation.active_units(guide, x).variance.cpu()
    order = carried.argsort(descending=True).tolist()
    if len(order) >= 2:
        i, j = sorted(order[:2])
        labels = built.dataset.labels
        y = labels["test"][: len(x)] if labels else None
        circles = contours(model.prior, len(order))
        yield (
            "latent",
            plots.latent_scatter(codes, y, dims=(i, j), title="means of $q(z|x)$", **circles),
        )
    if built.image is not None:
        yield from _images(built, x, codes, carried)


def _images(built: Built, x: Tensor, codes: Tensor, carried: Tensor) -> Iterator[tuple[str, Any]]:
    model, guide = built.vae
    look = picture_options(built)

    def decode(z: Tensor) -> Tensor:
        return evaluation.decode(model, x, z).cpu()

    shown = x[:PAIRS]
    means = evaluation.reconstruct(model, guide, shown).cpu()
    yield "reconstructions", plots.reconstructions(shown.cpu(), means, **look)
    yield "samples", sample_picture(evaluation.generate(model, x, 64), built)
    dims = carried.argsort(descending=True)[: max(1, min(ROWS, int((carried > CARRIES).sum())))]
    title = "decoded from the mean code, one dimension changed"
    yield "traversals", plots.traversals(decode, codes.mean(0), dims=dims, title=title, **look)
    icdf = quantiles(model.prior)
    if len(carried) == 2 and icdf is not None:
        yield "manifold", plots.manifold(decode, icdf=icdf, **look)


def sample_picture(x: Tensor, built: Built, mean: bool = True) -> Any:
    """A grid of what the model makes of its prior."""
    what = r"means of $p(x|z)$" if mean else r"$x \sim p(x|z)$"
    return plots.samples(x.cpu(), title=rf"{what}, $z \sim p(z)$", **picture_options(built))


def picture_options(built: Built) -> dict[str, Any]:
    """How the data are shown as images: their shape, and the values drawn black and white."""
    unit = built.dataset.values in ("binary", "grey")
    low, high = (0.0, 1.0) if unit else (None, None)
    return {"shape": built.image, "vmin": low, "vmax": high}


def _codes(guide: Any, x: Tensor) -> Tensor:
    """The mean of q(z|x), or a draw where its family has none in closed form."""
    q = evaluation.encode(guide, x)
    try:
        return q.mean.detach().cpu()
    except NotImplementedError:
        with torch.no_grad():
            return q.sample().cpu()
