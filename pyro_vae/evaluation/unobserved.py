"""A program whose data are drawn, not observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro import poutine
from pyro.poutine.condition_messenger import ConditionMessenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.uncondition_messenger import UnconditionMessenger
from torch import Tensor

from pyro_vae.terms.passes import Program

from .sites import random_variables


def unobserved_trace(
    program: Program,
    arguments: Sequence[Any],
    site: str | None = None,
    given: Mapping[str, Tensor] | None = None,
) -> poutine.Trace:
    """Run a program with its data undone: what it observes itself, or the site of this name.

    Unlike ``poutine.uncondition`` alone, it leaves a latent that ``poutine.condition`` has fixed
    as it is; ``given`` fixes more of them. Where all that is observed comes from
    ``poutine.condition``, that is the data.

    >>> import pyro, pyro.distributions as dist, torch
    >>> def model(x):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Delta(2 * z), obs=x)
    >>> fixed = poutine.condition(model, data={"z": torch.tensor(3.0)})
    >>> unobserved_trace(fixed, (torch.zeros(()),)).nodes["x"]["value"]
    tensor(6.)
    """

    def run(undo: UnconditionMessenger) -> poutine.Trace:
        drawn = poutine.condition(undo(program), data=dict(given or {}))
        return poutine.trace(drawn).get_trace(*arguments)

    trace = run(_Unobserved(site))
    sites = random_variables(trace).values()
    own = any(node["infer"].get("was_observed") for node in sites)
    return trace if own else run(UnconditionMessenger())


class _Unobserved(UnconditionMessenger):
    """``uncondition`` that leaves alone what ``condition`` observes, but for one site."""

    def __init__(self, site: str | None) -> None:
        super().__init__()
        self.site = site

    def _pyro_sample(self, msg: Any) -> None:
        name = msg["name"]
        fixed = any(isinstance(h, ConditionMessenger) and name in h.data for h in _PYRO_STACK)
        if name == self.site or not fixed:
            super()._pyro_sample(msg)
