"""Whether two programs make one bound: names, plates, shapes and scales of their sites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pyro.poutine import Trace
from torch import Tensor

from pyro_vae.terms.kl import family
from pyro_vae.terms.passes import PARTICLES

from .supports import incomparable

DATA_PLATE = '`with pyro.plate("data", len(x)):`'


def matching_problems(model: Trace, guide: Trace) -> Iterator[str]:
    """Sites that one program has and the other does not; event shapes, plates and scales."""
    p, q = samples(model), samples(guide)
    latents = [name for name, site in p.items() if not site["is_observed"]]
    extra = [n for n in q if n not in p and not q[n]["infer"].get("is_auxiliary")]
    for name in [name for name in latents if name not in q]:
        hint = f"the guide has {extra[0]!r} instead" if extra else "the guide has no such site"
        yield (
            f"latent site {name!r} is in the model only ({hint}): sample it in the guide under "
            f'the same name, or observe it with pyro.sample("{name}", ..., obs=...)'
        )
    for name in extra:
        yield (
            f"site {name!r} is in the guide only: give it the name of a latent site of the model "
            f"({', '.join(map(repr, latents)) or 'it has none'}), or mark it "
            "infer={'is_auxiliary': True}"
        )
    for name in [name for name in q if name in p and p[name]["is_observed"]]:
        yield f"site {name!r} is observed in the model: remove it from the guide"
    for name in [name for name in latents if name in q]:
        yield from _pair_problems(name, p[name], q[name])


def observed_in_guide(guide: Trace) -> Iterator[str]:
    """Sites of the guide with ``obs``: no model can be replayed against them."""
    for name, site in samples(guide).items():
        if site["is_observed"]:
            yield f"site {name!r} is observed in the guide: a guide samples, so remove its obs="


def shape_problems(trace: Trace, role: str, examples: int | None = None) -> Iterator[str]:
    """Batch dimensions that no plate declares, and masks and data of another shape.

    ``examples``, how many there are, tells a missing plate from a missing ``to_event``.
    """
    for name, site in samples(trace).items():
        batch, event = site["fn"].batch_shape, site["fn"].event_shape
        declared = {f.dim: repr(f.name) for f in site["cond_indep_stack"] if f.vectorized}
        mask, value = site["mask"], site["value"]
        if any(batch[d] > 1 for d in range(-len(batch), 0) if d not in declared):
            yield (
                f"site {name!r} in the {role} ({family(site['fn'])}) has batch shape "
                f"{tuple(batch)}, {_undeclared(batch, declared, examples)}"
            )
        elif isinstance(mask, Tensor) and not _fits(mask.shape, batch):
            yield (
                f"site {name!r} in the {role} has batch shape {tuple(batch)} and a mask of shape "
                f"{tuple(mask.shape)}: mask single entries before they go into the event, "
                "dist.Bernoulli(...).mask(m).to_event(1)"
            )
        elif site["is_observed"] and isinstance(value, Tensor):
            cut = value.dim() - len(event)
            if value.shape[max(cut, 0) :] != event or not _fits(value.shape[:cut], batch):
                yield (
                    f"data at site {name!r} have shape {tuple(value.shape)}, but the {role}'s "
                    f"{family(site['fn'])} has shape {tuple(batch + event)}: make the likelihood's "
                    f"network put out events of shape {tuple(value.shape[len(batch) :])}"
                )


def samples(trace: Trace, factors: bool = False) -> dict[str, Any]:
    """The sites with a density of their own (``pyro.deterministic`` has none)."""
    nodes: dict[str, Any] = trace.nodes
    return {
        name: site
        for name, site in nodes.items()
        if site["type"] == "sample" and not site["infer"].get("_deterministic")
        if factors or type(site["fn"]).__name__ != "Unit"
    }


def _pair_problems(name: str, p: Any, q: Any) -> Iterator[str]:
    events = tuple(p["fn"].event_shape), tuple(q["fn"].event_shape)
    scales = [torch.as_tensor(site["scale"]) for site in (p, q)]
    if events[0] != events[1]:
        cure = "make the sizes agree"
        if len(events[0]) != len(events[1]):
            cure = "move every latent dimension into the event with .to_event(1) in both"
        yield (
            f"site {name!r} has event shape {events[0]} in the model and {events[1]} in the "
            f"guide: {cure}"
        )
    elif _plates(p) != _plates(q):
        yield (
            f"site {name!r} lies in {_in_words(p)} in the model and in {_in_words(q)} in the "
            f"guide: use the same plates in both, such as {DATA_PLATE}"
        )
    elif not torch.equal(*scales):
        means = [f"{scale.double().mean():g}" for scale in scales]
        yield (
            f"site {name!r} is scaled by {means[0]} in the model and {means[1]} in the guide, so "
            "its KL has no one weight: weight the KL in the objective, not by poutine.scale"
        )
    elif (why := incomparable(p["fn"], q["fn"])) is not None:
        yield f"site {name!r} has no bound: {why}; give model and guide families of one support"


def _undeclared(batch: torch.Size, declared: dict[int, str], examples: int | None) -> str:
    loose = len(batch) - len(declared)
    inner = f".to_event({loose})"
    if declared:
        plates = ", ".join(declared.values())
        return (
            f"but only plate {plates}: move the dimensions of one example into the event with "
            f"{inner} (a mask of them before that), or declare their plate"
        )
    if examples is not None and batch[0] != examples:
        return f"but no plate: move its dimensions into the event with {inner}, or declare a plate"
    shape = f" and .to_event({loose - 1}) on its distribution" if loose > 1 else ""
    return f"but no plate: put {DATA_PLATE} around it{shape}"


def _fits(shape: torch.Size, batch: torch.Size) -> bool:
    """Whether a tensor of this shape widens to the batch, and widens nothing itself."""
    short = len(shape) <= len(batch)
    return short and all(a in (1, b) for a, b in zip(shape[::-1], batch[::-1], strict=False))


def _plates(site: Any) -> list[tuple[str, int, int | None]]:
    frames = (f for f in site["cond_indep_stack"] if f.name != PARTICLES)
    return sorted((f.name, f.size, f.full_size) for f in frames)


def _in_words(site: Any) -> str:
    names = [
        f"{name!r} (size {size})" if full in (None, size) else f"{name!r} (size {size} of {full})"
        for name, size, full in _plates(site)
    ]
    return f"plate {' and '.join(names)}" if names else "no plate"
