"""The density of a mixture, by matrix products where its components are independent normals."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor


def mixture(logits: Tensor, parts: dist.TorchDistribution) -> dist.TorchDistribution:
    """The mixture of ``parts``, batch ``(components,)``, with weights softmax(logits).

    >>> parts = dist.Normal(torch.zeros(500, 2), torch.ones(500, 2)).to_event(1)
    >>> type(mixture(torch.zeros(500), parts)).__name__
    'NormalMixture'
    """
    normals = getattr(parts, "base_dist", None)
    plain = isinstance(normals, dist.Normal) and normals.loc.dim() == 2 == parts.event_dim + 1
    kind = NormalMixture if plain else dist.MixtureSameFamily
    return kind(dist.Categorical(logits=logits), parts)


class NormalMixture(dist.MixtureSameFamily):
    r"""``MixtureSameFamily`` of independent normals, whose density costs two matrix products.

    The exponent of a component is quadratic in z, so that of all components at all z is

    .. math:: -\tfrac12 \big( z^2 \Lambda^\top - 2\, z (\mu \Lambda)^\top
              + \textstyle\sum \mu^2 \Lambda \big), \qquad \Lambda = \sigma^{-2},

    with no tensor of z's size times the number of components. Its three terms may be much larger
    than their sum, which is why it is computed in double precision: the error is some 1e-15 of
    :math:`(|z| + |\mu|)^2 / \sigma^2`.

    >>> parts = dist.Normal(torch.tensor([[-3.0], [3.0]]), torch.ones(2, 1)).to_event(1)
    >>> NormalMixture(dist.Categorical(torch.ones(2)), parts).log_prob(torch.tensor([3.0]))
    tensor(-1.6121)
    """

    #: The mixture before a plate made it one for each example: the products need but one.
    one: NormalMixture | None = None

    def expand(self, batch_shape: Any, _instance: Any = None) -> NormalMixture:
        new: NormalMixture = super().expand(batch_shape, _instance)
        new.one = self.one or self
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        one = self.one or self
        normals = one.component_distribution.base_dist
        z, loc, scale = (t.double() for t in (value, normals.loc, normals.scale))
        precision = scale.pow(-2)
        weighted = loc * precision
        square = z.square() @ precision.T - 2 * z @ weighted.T + (loc * weighted).sum(-1)
        log_normaliser = scale.log().sum(-1) + loc.shape[-1] * math.log(2 * math.pi) / 2
        log_weights = one.mixture_distribution.logits.double().log_softmax(-1)
        each = log_weights - log_normaliser - square / 2
        shape = torch.broadcast_shapes(self.batch_shape, each.shape[:-1])
        dtype = torch.promote_types(value.dtype, normals.loc.dtype)
        return each.logsumexp(-1).to(dtype).expand(shape)
