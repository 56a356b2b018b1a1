"""What can be wrong with the sites of two programs: one line each, with the site and the cure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pyro.poutine import Trace
from torch import Tensor

from .kl import family
from .passes import PARTICLES


def matching_problems(model: Trace, guide: Trace) -> Iterator[str]:
    """Sites that one program has and the other does not, shapes and scales that differ."""
    p, q = _samples(model), _samples(guide)
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
        yield f"site {name!r} is observed in the model, so the guide must not sample it"
    for name in [name for name in latents if name in q]:
        yield from _pair_problems(name, p[name], q[name])


def _pair_problems(name: str, p: Any, q: Any) -> Iterator[str]:
    if p["fn"].event_shape != q["fn"].event_shape:
        yield (
            f"site {name!r} has event shape {tuple(p['fn'].event_shape)} in the model and "
            f"{tuple(q['fn'].event_shape)} in the guide: move every latent dimension into the "
            "event with .to_event(1) in both, and make the sizes agree"
        )
    elif _plates(p) != _plates(q):
        yield (
            f"site {name!r} lies in plates {_plates(p)} in the model and {_plates(q)} in the "
            "guide: use the same plates in both"
        )
    same = torch.equal(torch.as_tensor(p["scale"]), torch.as_tensor(q["scale"]))
    if not same and _plates(p) == _plates(q):
        yield (
            f"site {name!r} is scaled by {float(torch.as_tensor(p['scale']).mean()):g} in the "
            f"model and {float(torch.as_tensor(q['scale']).mean()):g} in the guide, so its KL has "
            "no one weight: weight the KL in the objective, not by poutine.scale"
        )


def shape_problems(trace: Trace, role: str) -> Iterator[str]:
    """Batch dimensions that no plate declares: a missing plate, or a missing ``to_event``."""
    for name, site in _samples(trace).items():
        frames = [f for f in site["cond_indep_stack"] if f.vectorized]
        batch = site["fn"].batch_shape
        dims = {f.dim: f for f in frames}
        for dim in range(-len(batch), 0):
            if dim not in dims and batch[dim] > 1:
                depth = len(batch) + dim + 1
                cure = (
                    f".to_event({len(batch)})"
                    if not frames
                    else f".to_event({-dim if all(d < dim for d in dims) else 1})"
                )
                yield (
                    f"site {name!r} in the {role} has batch shape {tuple(batch)} (family "
                    f"{family(site['fn'])}), but no plate for its dimension {depth} of size "
                    f'{batch[dim]}: put `with pyro.plate("data", len(x)):` around it, or move '
                    f"the dimension into the event with {cure}"
                )
                break


def value_problems(trace: Trace) -> Iterator[str]:
    """Observed data with NaN or outside the support, and densities that are not finite."""
    for name, site in _samples(trace).items():
        value, fn = site["value"], site["fn"]
        if site["is_observed"] and isinstance(value, Tensor):
            yield from observation_problems(name, value, fn)


def observation_problems(name: str, value: Tensor, fn: Any) -> Iterator[str]:
    """The same for one observed tensor against one distribution."""
    if value.is_floating_point() and not torch.isfinite(value).all():
        bad = value[~torch.isfinite(value)][0].item()
        yield (
            f"data at site {name!r} contain {bad}: remove or fill such entries (masked ones too)"
        )
        return
    base = fn
    while type(base).__name__ in ("Independent", "MaskedDistribution"):
        base = base.base_dist
    try:
        inside = base.support.check(value)
    except (NotImplementedError, AttributeError):
        return  # a family that does not say its support
    if not bool(inside.all()):
        each = inside.dim() == value.dim()
        what = f"the value {value[~inside].flatten()[0].item():g}" if each else "a row"
        yield (
            f"data at site {name!r} contain {what}, outside the support of {family(fn)}"
            f"{_other_likelihoods(value)}"
        )


def _other_likelihoods(value: Tensor) -> str:
    if bool(((value >= 0) & (value <= 1)).all()):
        return ": binarise grey values (the data set's .binarized()), or use the Normal likelihood"
    return ": use a likelihood for such data (Normal takes every real number)"


def _samples(trace: Trace) -> dict[str, Any]:
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and type(site["fn"]).__name__ not in ("_Subsample", "Unit")
    }


def _plates(site: Any) -> tuple[str, ...]:
    return tuple(f.name for f in reversed(site["cond_indep_stack"]) if f.name != PARTICLES)
