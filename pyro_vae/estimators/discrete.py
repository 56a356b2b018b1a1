"""Estimators for discrete sites of the guide: exact sums, and relaxed samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyro_vae.schedules import Schedule, as_schedule
from pyro_vae.terms.kl import family

from .base import SCORED, Estimator


@dataclass(frozen=True)
class Enumerate(Estimator):
    """The exact sum over the values of a discrete site: a gradient without noise from it.

    The value gets a dimension of its own left of all plates, of size 1 elsewhere, so the programs
    must broadcast: write ``z @ W`` and ``torch.where``, not ``torch.cat``.
    """

    name = "enumerate"

    def obstacle(self, fn: Any, particles: int) -> str | None:
        if fn.has_enumerate_support:
            return None
        base = getattr(fn, "base_dist", None)
        if getattr(base, "has_enumerate_support", False):
            return (
                "its event is a vector of discrete variables; put them in a plate of their own, "
                f"or use {SCORED}"
            )
        return f"a {family(fn)} has no finite list of values; use {_other(fn)}"


@dataclass(frozen=True)
class GumbelSoftmax(Estimator):
    """The gradient of a relaxed sample in the simplex, at a temperature; biased.

    The bound keeps its value, of discrete samples. Its gradient is that of a second pass, in which
    the site's sample is relaxed: the model sees the soft value, and the KL is the discrete one in
    closed form (Jang et al. 2017, and not the relaxed densities of Maddison et al. 2017, which
    bound the evidence of another model). For ``OneHotCategorical`` and ``Bernoulli``.

    Jang, Gu and Poole 2017, *Categorical Reparameterization with Gumbel-Softmax*; Maddison, Mnih
    and Teh 2017, *The Concrete Distribution*.

    Args:
        temperature: positive; the lower, the less bias and the more noise; may follow a schedule.
    """

    temperature: float | Schedule | Callable[[float], float] = 0.5
    name = "gumbel-softmax"
    bias = "its gradient is that of a relaxed sample"

    def __post_init__(self) -> None:
        if not as_schedule(self.temperature, f"temperature of {self.name!r}")(0) > 0.0:
            raise ValueError(f"temperature is a positive number, not {self.temperature!r}")

    def obstacle(self, fn: Any, particles: int) -> str | None:
        if family(fn) in ("OneHotCategorical", "Bernoulli"):
            return None
        if family(fn) == "Categorical":
            return (
                "indices have no values between them; draw OneHotCategorical in model and guide, "
                f"or use {SCORED}"
            )
        return f"a {family(fn)} has no relaxation here; use {_other(fn)}"


@dataclass(frozen=True)
class StraightThrough(GumbelSoftmax):
    """As :class:`GumbelSoftmax`, in one pass: a discrete value with a relaxed one's gradient."""

    name = "straight-through"


def _other(fn: Any) -> str:
    return "'pathwise' or 'score'" if fn.has_rsample else SCORED
