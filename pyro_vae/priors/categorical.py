"""A prior on classes."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import nn

from .base import Prior
from .checks import check_latent


class Categorical(Prior):
    r"""One of several classes, as a one-hot vector, with learned class probabilities.

    .. math:: p(z = e_k) = \pi_k

    One-hot and not an index, so that the event is ``(latent,)`` as everywhere, the decoder reads
    it as it reads any code, and relaxed samples (:class:`RelaxedCategorical`) live in the same
    space. The probabilities begin equal.

    z has no pathwise gradient. The guide's site needs the score function (what the ELBO uses for
    a site that is not reparameterised), a sum over the classes, or a straight-through posterior;
    the KL between one-hot families is exact.

    Args:
        latent: number of classes.

    Raises ``ValueError`` where ``latent`` is not positive.

    >>> prior = Categorical(4)
    >>> prior().log_prob(torch.tensor([0.0, 1.0, 0.0, 0.0])).exp().item(), prior().event_shape
    (0.25, torch.Size([4]))
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        check_latent(latent)
        self.latent = latent
        self.logits = nn.Parameter(torch.zeros(latent))

    def forward(self) -> dist.TorchDistribution:
        return dist.OneHotCategorical(logits=self.logits)
