"""A model with one of its latents given."""

from __future__ import annotations

from typing import Any

from pyro import poutine
from torch import Tensor


def given(model: Any, site: str) -> Any:
    """The model as a program of x and the value of one latent site, ``given(model, "y")(x, y)``.

    By ``poutine.replay`` and not ``condition``: the site stays a latent, and so keeps its value
    where observations are undone to generate.

    >>> import pyro, pyro.distributions as dist, torch
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         y = pyro.sample("y", dist.Normal(0.0, 1.0))
    ...         return pyro.sample("x", dist.Delta(2 * y), obs=x)
    >>> poutine.uncondition(given(model, "y"))(torch.zeros(1), torch.ones(1))
    tensor([2.])
    """

    def program(x: Tensor, value: Tensor) -> Any:
        trace = poutine.Trace()
        trace.add_node(site, name=site, type="sample", value=value, is_observed=False, infer={})
        return poutine.replay(model, trace=trace)(x)

    return program
