"""The guide on what the model makes up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.log_weights import total
from pyro_vae.terms.site import log_prob, per_example
from pyro_vae.terms.table import Terms


def dreamt_log_q(terms: Terms) -> Tensor:
    """log q(z'|x') of one draw (z', x') of the model for each example, ``(batch,)``, nats.

    What dreams would change in buffers, such as running statistics, changes in copies of them.
    Raises :class:`ProgramError` naming the site that cannot be dreamt of.
    """
    call = terms.call
    for site in terms.of_kind("auxiliary"):
        raise ProgramError(
            f"site {site.name!r} is the guide's alone, and no dream says its value: use sleep=0"
        )
    with _copied_buffers():
        with torch.no_grad():
            unconditioned = poutine.trace(poutine.uncondition(call.model))
            dream = unconditioned.get_trace(*call.args, **call.kwargs)
        args, kwargs = _replaced(terms, dream)
        replay = poutine.replay(call.guide, trace=dream)
        guide = prune_subsample_sites(poutine.trace(replay).get_trace(*args, **kwargs))
    sites: list[Any] = [guide.nodes[site.name] for site in terms.of_kind("latent")]
    rows = (
        per_example(log_prob(site), site["cond_indep_stack"], terms.data_plate) for site in sites
    )
    return total(rows).squeeze(0)


def _replaced(terms: Terms, dream: Trace) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, with what the model observed replaced by what it dreamt."""
    swaps: dict[int, Any] = {}
    given = [*terms.call.args, *terms.call.kwargs.values()]
    for site in terms.of_kind("observed"):
        if site.value.numel() == 0 or _is_factor(site.site):
            continue
        if not any(value is site.value for value in given):
            raise ProgramError(
                f"site {site.name!r} does not observe an argument as it is, so the guide cannot be "
                "run on a dream of it: pass the data as observed, or use sleep=0"
            )
        swaps[id(site.value)] = dream.nodes[site.name]["value"]

    def swap(value: Any) -> Any:
        return swaps.get(id(value), value)

    args = tuple(swap(value) for value in terms.call.args)
    return args, {name: swap(value) for name, value in terms.call.kwargs.items()}


def _is_factor(site: Any) -> bool:
    return type(site["fn"]).__name__ == "Unit"


@contextmanager
def _copied_buffers() -> Iterator[None]:
    """Modules that run inside use, and change, copies of their buffers.

    To write the old values back would not do: what was computed from the buffers before is still
    to be differentiated, and autograd refuses tensors that were written since.
    """
    before: dict[nn.Module, dict[str, Tensor | None]] = {}

    def swap(module: nn.Module, _inputs: Any) -> None:
        if module not in before:
            before[module] = dict(module._buffers)
            copies = {n: None if b is None else b.clone() for n, b in module._buffers.items()}
            module._buffers.update(copies)

    hook = register_module_forward_pre_hook(swap)
    try:
        yield
    finally:
        hook.remove()
        for module, buffers in before.items():
            module._buffers.update(buffers)
