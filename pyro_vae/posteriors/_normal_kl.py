"""The KL divergence of a normal with correlations from independent normals, which PyTorch lacks."""

from __future__ import annotations

import math

import pyro.distributions as dist
from torch import Tensor
from torch.distributions import Normal
from torch.distributions.kl import register_kl


@register_kl(dist.MultivariateNormal, dist.Independent)
@register_kl(dist.LowRankMultivariateNormal, dist.Independent)
def kl_from_independent_normals(
    q: dist.MultivariateNormal | dist.LowRankMultivariateNormal, p: dist.Independent
) -> Tensor:
    r"""Nats, in closed form.

    .. math:: \mathrm{KL}(q \,\|\, p) = -H(q) + \tfrac12 \sum_d \Big[\log 2\pi s_d^2
              + \frac{(\mu_d - m_d)^2 + \Sigma_{dd}}{s_d^2}\Big], \quad
              q = \mathcal N(\mu, \Sigma), \; p = \prod_d \mathcal N(m_d, s_d^2)

    Raises ``NotImplementedError``, as PyTorch does for pairs it does not know, where p is not of
    normals over the last dimension.

    >>> import torch
    >>> q = dist.MultivariateNormal(torch.zeros(2), scale_tril=torch.eye(2))
    >>> kl_from_independent_normals(q, dist.Normal(torch.zeros(2), 1.0).to_event(1))
    tensor(0.)
    """
    base = p.base_dist
    if not isinstance(base, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError(f"no KL of a correlated normal from {p}")
    square = (q.mean - base.loc).square() + q.variance
    cross = (2 * base.scale.log() + square / base.scale.square() + math.log(2 * math.pi)).sum(-1)
    return 0.5 * cross - q.entropy()
