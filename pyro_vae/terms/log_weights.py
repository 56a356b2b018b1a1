"""Bounds that are a function of each example's importance weights, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .errors import ProgramError
from .stopped import stopped_log_p
from .table import Terms

#: From log weights ``(particles, *batch)`` to ``(*batch,)``.
Reduction = Callable[[Tensor], Tensor]


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """The logarithm of the mean weight over the particles, the first dimension.

    >>> log_mean_exp(torch.tensor([[1000.0], [1000.0]]))
    tensor([1000.])
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def estimate(terms: Terms, reduction: Reduction, log_weights: Tensor | None = None) -> Tensor:
    r"""F(log w_1, ..., log w_K) for each example ``(batch,)``, with the gradient of its mean.

    Pathwise where the guide's sites are reparameterised. At the others the score function joins
    in, each particle with a baseline made of the other ones:

    .. math:: \sum_k \big(F - F_{-k}\big) \nabla \log q(z_k),

    where :math:`F_{-k}` has :math:`\log w_k` replaced by the mean of the others' (none for one
    particle). It takes memory for ``particles ** 2 * batch`` numbers.

    Source: Mnih and Rezende 2016, *Variational Inference for Monte Carlo Objectives*.
    """
    log_weights = terms.log_weights if log_weights is None else log_weights
    value = reduction(log_weights)
    scores = [
        site.log_q
        for site in terms.of_kind("latent", "auxiliary")
        if site.log_q is not None and not site.reparameterized
    ]
    if not scores:
        return value
    gain = value.detach() - _leave_one_out(log_weights.detach(), reduction)
    return with_gradient(value, value + (gain * total(scores)).sum(0))


def _leave_one_out(log_weights: Tensor, reduction: Reduction) -> Tensor:
    """F without what each particle knows, ``(particles, batch)``."""
    k = len(log_weights)
    if k == 1:
        return torch.zeros_like(log_weights)
    own = torch.eye(k, dtype=torch.bool, device=log_weights.device).unsqueeze(-1)
    table = log_weights.unsqueeze(1).expand(k, k, *log_weights.shape[1:])
    others = table.masked_fill(own, 0.0).sum(0) / (k - 1)
    return reduction(torch.where(own, others, table))


def halves(terms: Terms) -> tuple[Tensor, Tensor]:
    r"""log w twice, ``(particles, batch)``: with theta's part of the gradient, and with phi's.

    Theta's is that of log p at fixed samples; phi's is what goes through the samples, and log q.
    """
    log_weights = terms.log_weights
    p, through = log_p(terms), total(stopped_log_p(terms).values())
    return with_gradient(log_weights, p - through), through - log_q(terms)


def log_p(terms: Terms) -> Tensor:
    """log p(x, z), ``(particles, batch)``."""
    return total(site.log_p for site in terms.values() if site.log_p is not None)


def log_q(terms: Terms) -> Tensor:
    """log q(z|x), ``(particles, batch)``."""
    return total(site.log_q for site in terms.values() if site.log_q is not None)


def total(rows: Iterable[Tensor]) -> Tensor:
    """The sum of what there is, 0 for nothing."""
    return torch.as_tensor(sum(rows))


def with_gradient(value: Tensor, followed: Tensor) -> Tensor:
    """The value of the one with the gradient of the other."""
    return value.detach() + (followed - followed.detach())


def example_scale(terms: Terms) -> float | Tensor:
    """The weight of each example's bound: what the subsampling plates put on every site alike.

    Raises :class:`ProgramError` naming a site with another one, whose part in the importance
    weight would be unclear.
    """
    first: float | Tensor | None = None
    for site in terms.values():
        scales = ([] if site.p is None else [site.scale_p]) + (
            [] if site.q is None else [site.scale_q]
        )
        for scale in scales:
            first = scale if first is None else first
            if scale is not first and float(scale) != float(first):
                raise ProgramError(
                    f"site {site.name!r} is scaled by {float(scale):g} and others by "
                    f"{float(first):g}: importance weights need one scale, that of the data plate; "
                    "weight the KL in the objective, not by poutine.scale"
                )
    return 1.0 if first is None else first


def summed(terms: Terms, per_example: Tensor) -> Tensor:
    """The bound of the batch from that of each example, ``(batch,)``, subsampling undone."""
    return example_scale(terms) * per_example.sum()


def require_reparameterized(terms: Terms, what: str) -> None:
    """Raise :class:`ProgramError` naming the first latent whose samples carry no gradient."""
    for site in terms.of_kind("latent", "auxiliary"):
        if not site.reparameterized:
            raise ProgramError(
                f"site {site.name!r} is not reparameterised, and {what} goes through the samples: "
                "take gradient='pathwise', which uses the score function there"
            )
