"""Where a number that is not finite came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_vae.terms import Terms, site_terms, untouched_randomness


def find_nonfinite(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    batch: tuple[Tensor, ...],
    parameters: Iterator[str],
) -> str:
    """One phrase that names the first tensor, parameter or site that is not finite.

    Runs both programs once more on the batch, in the order in which values are made, so that
    the first name is the cause and not a consequence.

    Args:
        model, guide: the programs.
        batch: their arguments.
        parameters: names of the parameters that are not finite.
    """
    for number, tensor in enumerate(batch):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            bad = tensor[~tensor.isfinite()][0].item()
            which = "the data contain" if len(batch) == 1 else f"part {number} of the data contains"
            return f"{which} {bad}"
    for name in parameters:
        return f"parameter {name!r} is not finite"
    with torch.no_grad(), pyro.validation_enabled(False), untouched_randomness():
        try:
            found = next(_sites(site_terms(model, guide, *batch)), None)
        except (ValueError, RuntimeError) as error:
            return f"the programs cannot be run again: {str(error).splitlines()[0]}"
    return found or "no site shows it in another run: a rare draw, or the objective itself"


def _sites(terms: Terms) -> Iterator[str]:
    # All of the guide first: what the model computes follows from it.
    for name, site in terms.items():
        yield from _parameters(name, "guide", site.q)
    for name, site in terms.items():
        yield from _parameters(name, "model", site.p)
        for role, value in (("guide", site.log_q), ("model", site.log_p)):
            if value is not None and not value.isfinite().all():
                yield f"site {name!r}: its log-probability in the {role} is not finite"
        if site.kl is not None and not site.kl.isfinite().all():
            yield f"site {name!r}: its KL is not finite"


def _parameters(name: str, role: str, distribution: Any) -> Iterator[str]:
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    for parameter in getattr(distribution, "arg_constraints", {}):
        value = vars(distribution).get(parameter)
        if isinstance(value, Tensor) and not value.isfinite().all():
            family = type(distribution).__name__
            yield f"site {name!r}: the {parameter} of {family} in the {role} is not finite"
