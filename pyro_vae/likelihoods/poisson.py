"""The likelihood of counts with no more spread than chance gives."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from .base import Likelihood, as_event
from .rates import expected_counts


class Poisson(Likelihood):
    r"""Independent Poisson counts.

    .. math:: p(x|z) = \prod_i \frac{m_i^{x_i} e^{-m_i}}{x_i!}, \qquad m = e^{f(z)}

    Given the total of each example (``forward(z, library=l)``, the library size of a cell), the
    network says how it is shared out: :math:`m = l\,\mathrm{softmax}(f(z))`.

    Variance is mean; counts that vary more need ``NegativeBinomial``.

    Grønbech et al. 2020, *scVAE: variational auto-encoders for single-cell gene expression data*.

    Args:
        network: maps z ``(*batch, latent)`` to logarithms of rates ``(*batch, *event)``.

    >>> import torch
    >>> p = Poisson(nn.Linear(2, 5))(torch.zeros(7, 2), library=torch.full((7,), 100.0))
    >>> p.batch_shape, p.event_shape, p.mean.sum(-1)[0].round()
    (torch.Size([7]), torch.Size([5]), tensor(100., grad_fn=<RoundBackward0>))
    """

    values = "counts"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @staticmethod
    def outputs(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
        return shape

    def forward(
        self, z: Tensor, mask: Tensor | None = None, library: Tensor | None = None
    ) -> dist.TorchDistribution:
        """p(x|z, l); ``library`` is the total of each example, ``(*batch,)``."""
        return as_event(dist.Poisson(expected_counts(self.network(z), z, library)), z, mask)
