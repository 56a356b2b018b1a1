"""One pass: the guide traced, the model replayed against it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.infer.util import is_validation_enabled
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, check_site_shape

Program = Callable[..., Any]

#: The plate that vectorised particles live in, left of every plate of the programs.
PARTICLES = "_particles"


class Call(NamedTuple):
    """What a term table was made by, so that the guide can be run once more against its samples."""

    model: Program
    guide: Program
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


_nesting: weakref.WeakKeyDictionary[Program, int] = weakref.WeakKeyDictionary()


def run(
    model: Program,
    guide: Program,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    particles: int = 1,
    vectorize: bool = True,
) -> list[tuple[Trace, Trace]]:
    """``(model_trace, guide_trace)`` of one vectorised pass, or of one pass for each particle."""
    if particles == 1:
        return [_run(model, guide, args, kwargs)]
    if not vectorize:
        return [_scored(_run(model, guide, args, kwargs)) for _ in range(particles)]
    dim = -1 - plate_nesting(model, guide, args, kwargs)
    model, guide = (pyro.plate(PARTICLES, particles, dim=dim)(f) for f in (model, guide))
    return [_run(model, guide, args, kwargs)]


def _scored(pair: tuple[Trace, Trace]) -> tuple[Trace, Trace]:
    """With log q computed at once: a flow remembers how it made its last sample only."""
    pair[1].compute_log_prob()
    return pair


def _run(
    model: Program, guide: Program, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Trace, Trace]:
    unwrapped = poutine.unwrap(guide)
    if isinstance(unwrapped, Messenger):  # Pyro's effect-based guides hold both traces
        guide(*args, **kwargs)
        model_trace, guide_trace = unwrapped.get_traces()  # type: ignore[attr-defined]
    else:
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(
            *args, **kwargs
        )
    validating = is_validation_enabled()
    if validating:
        check_model_guide_match(model_trace, guide_trace)
    model_trace = prune_subsample_sites(model_trace)
    guide_trace = prune_subsample_sites(guide_trace)
    if validating:
        for trace in (model_trace, guide_trace):
            # Pyro's own check reads the log-probability's shape, which a site has once computed.
            trace.compute_log_prob()
            for site in trace.nodes.values():
                if site["type"] == "sample":
                    check_site_shape(site, max_plate_nesting=float("inf"))  # type: ignore[arg-type]
    return model_trace, guide_trace


def plate_nesting(
    model: Program, guide: Program, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> int:
    """How many batch dimensions the programs' own plates take, found by running them once.

    The run leaves the random numbers as they were, and is remembered for as long as the model
    lives.
    """
    known = _nesting.get(model)
    if known is None:
        with untouched_randomness(), poutine.block(), torch.no_grad():
            pair = _run(model, guide, args, kwargs)
        known = max(
            (
                -frame.dim
                for trace in pair
                for site in trace.nodes.values()
                if site["type"] == "sample"
                for frame in site["cond_indep_stack"]
                if frame.vectorized and frame.dim is not None
            ),
            default=0,
        )
        _nesting[model] = known
    return known


@contextmanager
def untouched_randomness(seed: int | None = None) -> Iterator[None]:
    """Run something without moving the random numbers of torch outside, from ``seed`` if given.

    >>> _ = torch.manual_seed(0); a = torch.rand(())
    >>> _ = torch.manual_seed(0)
    >>> with untouched_randomness(seed=1): _ = torch.rand(100)
    >>> torch.equal(torch.rand(()), a)
    True
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
        yield
