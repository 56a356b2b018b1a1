"""The passes behind imputation: particles with weights, taken in while they arrive."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from pyro_vae.programs.missing import known
from pyro_vae.terms import ProgramError, Terms, site_terms, untouched_randomness
from pyro_vae.terms.kl import family
from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import check_rows, check_weights, checked_terms, no_weights
from .inputs import parts, prepare
from .sites import mean_of, observed_site
from .undisturbed import undisturbed


class Taker(Protocol):
    """Takes in particles; knows in the end what they make."""

    def add(self, log_weights: Tensor, values: Tensor) -> None:
        """``(particles, batch)`` and ``(particles, batch, *event)`` more of them."""

    def result(self) -> Tensor:
        """``(*anything, batch, *event)``."""


class _Relative:
    """Weights relative to the largest so far, and their sum: nothing over- or underflows."""

    def __init__(self) -> None:
        self._largest: Tensor | None = None
        self.total: Tensor

    def add(self, log_weights: Tensor) -> tuple[Tensor, Tensor]:
        """These ``(particles, batch)``, and what to multiply earlier sums by, ``(batch,)``."""
        largest = log_weights.amax(0)
        if self._largest is None:
            self._largest = torch.full_like(largest, -torch.inf)
            self.total = torch.zeros_like(largest)
        largest = torch.maximum(largest, self._largest)
        # Where every weight is zero so far the reference is 0, since -inf - -inf is nan.
        reference = largest.where(largest > -torch.inf, 0.0)
        weights, rescale = (log_weights - reference).exp(), (self._largest - reference).exp()
        self._largest = largest
        self.total = self.total * rescale + weights.sum(0)
        return weights, rescale


class WeightedMean:
    """The self-normalised mean of weighted values, ``(batch, *event)``; nan where no weight is.

    >>> mean = WeightedMean()
    >>> mean.add(torch.tensor([[1000.0]]), torch.tensor([[[1.0]]]))
    >>> mean.add(torch.tensor([[1000.0], [-torch.inf]]), torch.tensor([[[3.0]], [[9.0]]]))
    >>> mean.result()
    tensor([[2.]])
    """

    def __init__(self) -> None:
        self._weights = _Relative()
        self._sum: Tensor | None = None

    def add(self, log_weights: Tensor, values: Tensor) -> None:
        weights, rescale = self._weights.add(log_weights)
        more = (_as_long(weights, values) * values).sum(0)
        self._sum = more if self._sum is None else _as_long(rescale, more) * self._sum + more

    def result(self) -> Tensor:
        assert self._sum is not None
        return self._sum / _as_long(self._weights.total, self._sum)


class Draws:
    """Values drawn by weight with replacement, ``(draws, batch, *event)``, of one passing stream.

    After each part a draw is one of that part with probability its share of all weight so far: as
    if all had been kept and drawn from in the end. nan where no weight is.

    >>> draws = Draws(5)
    >>> draws.add(torch.tensor([[0.0]]), torch.tensor([[1.0]]))
    >>> draws.add(torch.tensor([[-torch.inf], [1000.0]]), torch.tensor([[2.0], [3.0]]))
    >>> draws.result().flatten()
    tensor([3., 3., 3., 3., 3.])
    """

    def __init__(self, draws: int) -> None:
        self._draws = draws
        self._weights = _Relative()
        self._picks: Tensor | None = None

    def add(self, log_weights: Tensor, values: Tensor) -> None:
        weights, _ = self._weights.add(log_weights)
        part = weights.sum(0)
        # Where this part has no weight any of it will do: it is taken with probability 0.
        index = weights.where(part > 0, 1.0).T.multinomial(self._draws, replacement=True).T
        candidates = values[index, torch.arange(values.shape[1], device=index.device)]
        if self._picks is None:
            self._picks = torch.full_like(candidates, torch.nan)
        uniform = torch.rand(index.shape, dtype=part.dtype, device=part.device)
        taken = _as_long(uniform * self._weights.total < part, candidates)
        self._picks = torch.where(taken, candidates, self._picks)

    def result(self) -> Tensor:
        assert self._picks is not None
        return self._picks


def run(
    model: Program,
    guide: Program,
    x: Tensor,
    mask: Tensor | None,
    others: Sequence[Tensor],
    particles: int,
    site: str,
    memory: int | None,
    vectorize: bool,
    seed: int,
    taker: Callable[[], Taker],
    mean: bool,
) -> Tensor:
    """x with its missing entries as ``taker`` makes them of the weighted particles."""
    if mask is None and others:
        raise ValueError("the programs' arguments after x are the mask and others: give the mask")
    arguments = prepare((model, guide), x, others if mask is None else (mask, *others))
    there = known(arguments[0], None if mask is None else arguments[1])[1]
    _warn_of_empty(there)
    with undisturbed(model, guide, seed=seed):
        weigh = partial(_weigh, model, guide, site, mean)
        room = capacity(lambda *part: weigh(part, 1), arguments, memory)
        for part in parts(arguments, room.rows(len(x))):
            why = no_weights(checked_terms(model, guide, part))
            if why is not None:
                raise ProgramError(why)
        if mask is not None:
            _check_blindness(model, guide, arguments, there)
        rows, size = room.cut(len(x), particles if vectorize else 1)
        done = []
        for part in parts(arguments, rows):
            taken = taker()
            for start in range(0, particles, size):
                taken.add(*weigh(part, min(size, particles - start)))
            done.append(taken.result())
    found = torch.cat(done, dim=done[0].dim() - x.dim())
    if (found.isnan() & ~there).any():
        row = int(torch.nonzero(found.isnan() & ~there)[0, found.dim() - x.dim()])
        raise ProgramError(
            f"no particle explains row {row}: look at the scale of the data and at the programs' "
            "parameters"
        )
    return torch.where(there, arguments[0].to(found), found)


def _weigh(
    model: Program,
    guide: Program,
    site: str,
    mean: bool,
    part: tuple[Tensor, ...],
    particles: int,
) -> tuple[Tensor, Tensor]:
    """Log weights ``(particles, batch)`` and values ``(particles, batch, *event)`` of one pass."""
    terms = site_terms(model, guide, *part, particles=particles)
    weights = terms.log_weights
    check_weights(weights, terms)
    check_rows(weights.shape[-1], terms, len(part[0]))
    value = _value(terms, site, mean)
    return weights, value.expand(*weights.shape, *part[0].shape[1:])


def _value(terms: Terms, site: str, mean: bool) -> Tensor:
    trace = terms.traces[0][0]
    missing = f"{site}_missing"
    if missing in terms:
        return terms[missing].value
    node = observed_site(trace, site)
    value: Tensor | None = mean_of(node) if mean else node["fn"].sample()
    if value is None:
        raise ProgramError(
            f"site {site!r} ({family(node['fn'])}) has no mean in closed form: take multiple "
            "imputations"
        )
    return value


def _check_blindness(
    model: Program, guide: Program, arguments: tuple[Tensor, ...], there: Tensor
) -> None:
    """Another number in the missing entries must change nothing."""
    x = arguments[0]
    weights = []
    for other in (x, torch.where(there, x, (x == 0).to(x))):
        with untouched_randomness(seed=0):
            weights.append(site_terms(model, guide, other, *arguments[1:]).log_weights)
    if not torch.equal(*weights):
        raise ProgramError(
            "the programs look at entries that the mask calls missing: take those of "
            "pyro_vae.programs.missing, or mask the likelihood and fill the guide's x with zeros"
        )


def _warn_of_empty(there: Tensor) -> None:
    empty = ~there.flatten(1).any(-1)
    if empty.any():
        rows, first = int(empty.sum()), int(torch.nonzero(empty)[0])
        warnings.warn(
            f"nothing is known of {rows} of {len(there)} rows (the first is {first}): they are "
            "imputed from what the model says of any row",
            stacklevel=4,
        )


def _as_long(value: Tensor, like: Tensor) -> Tensor:
    """With the trailing dimensions that ``like`` has besides."""
    return value.reshape(*value.shape, *[1] * (like.dim() - value.dim()))
