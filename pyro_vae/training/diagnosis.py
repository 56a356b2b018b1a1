"""Where a number that is not finite came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_vae.objectives import site_terms, untouched_randomness


def find_nonfinite(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    batch: tuple[Tensor, ...],
    parameters: dict[str, Tensor],
) -> str:
    """One phrase that names the first tensor, parameter or site that is not finite.

    Runs both programs once more on the batch, in the order in which values are made, so that
    the first name is the cause and not a consequence.
    """
    for number, tensor in enumerate(batch):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return f"argument {number} of the programs (the data) is not finite"
    for name, tensor in parameters.items():
        if not tensor.isfinite().all():
            return f"parameter {name!r} is not finite"
    with torch.no_grad(), pyro.validation_enabled(False), untouched_randomness():
        terms = site_terms(model, guide, *batch)
        for name, site in terms.items():
            for role, distribution in (("guide", site.q), ("model", site.p)):
                found = _bad_parameter(distribution)
                if found:
                    return f"site {name!r}: {found} in the {role} is not finite"
            for role, value in (("guide", site.log_q), ("model", site.log_p)):
                if value is not None and not value.isfinite().all():
                    return f"site {name!r}: its log-probability in the {role} is not finite"
            if site.kl is not None and not site.kl.isfinite().all():
                return f"site {name!r}: its KL is not finite"
    return "no site shows it when the batch is run again: a rare draw, or the gradient estimator"


def _bad_parameter(distribution: Any) -> str | None:
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    for name in getattr(distribution, "arg_constraints", {}):
        value = vars(distribution).get(name)
        if isinstance(value, Tensor) and not value.isfinite().all():
            return f"the {name} of {type(distribution).__name__}"
    return None
