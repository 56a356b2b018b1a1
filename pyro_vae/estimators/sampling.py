"""The guide's samples, drawn as each site's estimator needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyro
from pyro import poutine
from pyro.infer.util import is_validation_enabled
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites, site_is_subsample
from pyro.util import check_model_guide_match, check_site_shape
from torch import Tensor

from pyro_vae.checks.failures import first_line
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.passes import PARTICLES, Call, plate_nesting

from .base import Estimator
from .choice import DRAWN, Choice, drawn_for
from .discrete import GumbelSoftmax
from .enumeration import enumerated_values
from .relaxation import relaxed_sample

Temperature = Callable[[str, GumbelSoftmax], float | Tensor]


class Unplaced(Exception):
    """An enumerated site is met, and nobody has counted the plates that its values go left of."""


class Drawing(Messenger):
    """Chooses the estimator of each of the guide's sites, and draws its sample accordingly.

    It stands outside of all plates, so that distributions have their full shape when it sees
    them. The model's sites pass: they are observed, or replayed.

    Args:
        choice, temperature: the objective's.
        dim: the first free batch dimension, for the values of enumerated sites.
        relaxed: draw soft values where the gradient is that of a relaxed sample.
    """

    def __init__(
        self,
        choice: Choice,
        temperature: Temperature,
        dim: int | None = None,
        relaxed: bool = False,
    ) -> None:
        super().__init__()
        self.choice, self.temperature = choice, temperature
        self.dim, self.relaxed = dim, relaxed

    def _pyro_sample(self, msg: Any) -> None:
        if msg["done"] or msg["is_observed"] or msg["value"] is not None or site_is_subsample(msg):
            return
        name, fn = msg["name"], msg["fn"]
        estimator = self.choice(name, fn, msg["infer"])
        drawn = drawn_for(estimator, fn)
        if drawn is not None:
            msg["infer"] = {**msg["infer"], DRAWN: drawn}
        value = self._value(name, fn, msg, estimator, drawn)
        if value is not None:
            msg["value"], msg["done"] = value, True

    def _value(
        self, name: str, fn: Any, msg: Any, estimator: Estimator, drawn: str | None
    ) -> Tensor | None:
        if drawn == "detached":
            # A new tensor: a flow's cache knows it not, so its density has the whole gradient.
            return fn(*msg["args"], **msg["kwargs"]).detach().clone()
        if drawn == "enumerated":
            if self.dim is None:
                raise Unplaced
            self.dim -= 1
            return enumerated_values(name, fn, self.dim + 1)
        if isinstance(estimator, GumbelSoftmax) and (drawn is not None or self.relaxed):
            temperature = self.temperature(name, estimator)
            return relaxed_sample(fn, temperature, hard=drawn is not None)
        return None


@contextmanager
def in_one_line() -> Iterator[None]:
    """Without the shapes of all sites, which Pyro's trace appends to whatever is raised."""
    try:
        yield
    except ProgramError as error:
        raise ProgramError(first_line(error)) from error


def draw(
    call: Call,
    particles: int,
    vectorize: bool,
    drawing: Callable[[int], Drawing],
    checked: bool = True,
) -> list[tuple[Trace, Trace]]:
    """Passes in which sites may have dimensions of their own, or values outside their support.

    Args:
        call: the programs and their arguments.
        particles, vectorize: as in :func:`site_terms`.
        drawing: given the first free dimension, draws the guide's samples.
        checked: look at sites and shapes where Pyro's validation is on.
    """
    model, guide, args, kwargs = call
    if isinstance(poutine.unwrap(guide), Messenger):
        raise ProgramError(
            f"{type(poutine.unwrap(guide)).__name__} samples within the model's own run, which "
            "neither enumerates nor relaxes: write the guide as a function or module"
        )
    nesting = plate_nesting(model, guide, args, kwargs)
    passes = particles
    if particles > 1 and vectorize:
        plate = pyro.plate(PARTICLES, particles, dim=-1 - nesting)
        model, guide = plate(model), plate(guide)
        nesting, passes = nesting + 1, 1
    pairs = []
    for _ in range(passes):
        with in_one_line(), drawing(-1 - nesting):
            q = poutine.trace(guide).get_trace(*args, **kwargs)
            p = poutine.trace(poutine.replay(model, trace=q)).get_trace(*args, **kwargs)
        if checked and is_validation_enabled():
            check_model_guide_match(p, q, nesting)
        p, q = prune_subsample_sites(p), prune_subsample_sites(q)
        if checked and is_validation_enabled():
            _check_shapes(p, nesting)
            _check_shapes(q, nesting)
        pairs.append((p, q))
    return pairs


def _check_shapes(trace: Trace, nesting: int) -> None:
    trace.compute_log_prob()
    for site in trace.nodes.values():
        if site["type"] == "sample":
            check_site_shape(site, max_plate_nesting=nesting)
