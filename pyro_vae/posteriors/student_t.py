"""Independent Student's t distributions as the posterior."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import Posterior


class StudentT(Posterior):
    r"""Independent Student's t distributions: tails as heavy as the network finds right.

    .. math:: q(z|x) = \prod_d \mathrm{StudentT}_{\nu_d(x)}(z_d; \mu_d(x), \sigma_d(x)),
              \quad \nu = 2 + \mathrm{softplus}(r)

    More than two degrees of freedom, because at two or fewer :math:`\mathbb E[z^2]`, and with it
    the KL from a normal prior, is infinite. The network's output is cut in three: the locations,
    the scales before a softplus, and :math:`r`. Reparameterised as
    :math:`z = \mu + \sigma\epsilon\sqrt{\nu/c}` with :math:`c \sim \chi^2_\nu`, whose gradient is
    implicit (Figurnov, Mohamed and Mnih 2018, *Implicit Reparameterization Gradients*). PyTorch
    can follow it once, not twice: refine this family with ``SemiAmortized(..., through=False)``.

    Args:
        network: maps x ``(*batch, *event)`` to ``(*batch, 3 * latent)``.
        min_scale: the least scale :math:`\sigma`.

    Raises ``ValueError`` where the network's output is no multiple of three.

    >>> import torch
    >>> q = StudentT(nn.Linear(5, 3 * 2))(torch.zeros(7, 5))
    >>> q.batch_shape, q.event_shape, q.has_rsample
    (torch.Size([7]), torch.Size([2]), True)
    """

    def __init__(self, network: nn.Module, min_scale: float = 1e-6) -> None:
        super().__init__()
        self.network = network
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        return (3 * latent,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parameters = self.network(x)
        if parameters.shape[-1] % 3:
            raise ValueError(
                "StudentT takes a network with 3 * latent outputs (locations, scales and degrees "
                f"of freedom), not {parameters.shape[-1]}"
            )
        loc, raw, freedom = parameters.chunk(3, -1)
        scale = softplus(raw) + self.min_scale
        return dist.StudentT(2 + softplus(freedom), loc, scale).to_event(1)
