"""How often the terms of each site count in a bound."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .table import Terms

#: Without dimensions, and no gradient is taken of it. The number 0 leaves a term out; a tensor that
#: is 0 multiplies it.
Weight = float | Tensor

#: By the names of sites; those that are not named count once.
Weights = Mapping[str, Weight]


def each(terms: Terms, observed: Weight = 1.0, latent: Weight = 1.0) -> dict[str, Weight]:
    """One weight for all that is observed, and one for the KL of every latent."""
    return {s.name: observed if s.kind == "observed" else latent for s in terms.values()}


def times(weight: Weight, term: Tensor) -> Tensor:
    """A double without dimensions would make a single one without dimensions double."""
    if isinstance(weight, Tensor):
        return term * weight.to(term.dtype)
    return term if weight == 1.0 else term * weight
