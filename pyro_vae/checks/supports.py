"""Whether two densities of one latent are densities of the same kind, and can be compared."""

from __future__ import annotations

from typing import Any

from pyro.distributions import constraints

from pyro_vae.terms.kl import family

#: Surfaces: a density on one is per unit of its area, not of the volume around it.
_SURFACES = {id(constraints.simplex): "the simplex", id(constraints.sphere): "the sphere"}


def incomparable(p: Any, q: Any) -> str | None:
    """Why log p - log q of one value means nothing; ``None`` where it does, or none can tell.

    A probability is no density, and a density on a surface none in space: their difference has a
    value for every draw, and is no bound.

    >>> import torch, pyro.distributions as dist
    >>> incomparable(dist.OneHotCategorical(torch.ones(3)), dist.Dirichlet(torch.ones(3)))
    "the model's OneHotCategorical is discrete, and the guide's Dirichlet a density on the simplex"
    """
    supports = _support(p), _support(q)
    # Point masses and straight-through draws say what they stand for by other means.
    names = family(p), family(q)
    if None in supports or any(n == "Delta" or n.endswith("StraightThrough") for n in names):
        return None
    kinds = [_kind(support) for support in supports]
    if kinds[0] == kinds[1]:
        return None
    return f"the model's {names[0]} is {kinds[0]}, and the guide's {names[1]} {kinds[1]}"


def reaches_outside(p: Any, q: Any) -> bool:
    """Whether q draws any number, and p has room for some alone.

    >>> import torch, pyro.distributions as dist
    >>> reaches_outside(dist.Uniform(-9.0, 9.0), dist.Normal(0.0, 0.1))
    True
    """
    return _support(p) not in (None, constraints.real) and _draws_any(q)


def _draws_any(fn: Any) -> bool:
    while type(fn).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        fn = fn.base_dist
    if hasattr(fn, "transforms"):
        # Its own support is what the last map can reach, which says little of them all.
        return _draws_any(fn.base_dist) and all(map(_reaches_all, fn.transforms))
    return family(fn) != "Delta" and _support(fn) is constraints.real


def _reaches_all(transform: Any) -> bool:
    """Whether a map, and each that it is made of, may have any number for its value."""
    inner = [*getattr(transform, "parts", ()), getattr(transform, "base_transform", None)]
    return _plain(transform.codomain) is constraints.real and all(
        _reaches_all(part) for part in inner if part is not None
    )


def _support(fn: Any) -> Any:
    """That of one number or vector; ``None`` for a family that does not say."""
    try:
        support = fn.support
    except (NotImplementedError, AttributeError):
        return None
    return _plain(support)


def _plain(constraint: Any) -> Any:
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint


def _kind(support: Any) -> str:
    if support.is_discrete:
        return "discrete"
    return f"a density on {_SURFACES[id(support)]}" if id(support) in _SURFACES else _SPACE


_SPACE = "a density in space"
