"""A likelihood of grey values that contain 0 and 1."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from ._continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulliDistribution
from .base import Likelihood, as_event


class ContinuousBernoulli(Likelihood):
    r"""Independent continuous Bernoullis, for grey values in [0, 1].

    .. math::
        p(x|z) = \prod_i C(l_i)\, \pi_i^{x_i} (1-\pi_i)^{1-x_i}, \qquad
        \pi = \mathrm{sigmoid}(l),\; l = f(z), \qquad C(l) = \frac{l}{\tanh(l/2)}

    with C(0) = 2: the binary cross-entropy that is often put in place of a density on grey
    values, with the normaliser that makes it one. The mean is not :math:`\pi`, but
    :math:`1/(1-e^{-l}) - 1/l`.

    Loaiza-Ganem and Cunningham 2019, *The continuous Bernoulli: fixing a pervasive error in
    variational autoencoders*.

    Args:
        network: maps z ``(*batch, latent)`` to logits ``(*batch, *event)``.

    >>> import torch
    >>> p = ContinuousBernoulli(nn.Linear(2, 5))(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "grey"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @staticmethod
    def outputs(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
        return shape

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        return as_event(ContinuousBernoulliDistribution(self.network(z)), z, mask)
