"""A continuous relaxation of classes."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import nn

from .base import Prior
from .checks import check_latent, check_positive


class RelaxedCategorical(Prior):
    r"""Nearly one-hot points of the simplex: the Concrete, or Gumbel-softmax, distribution.

    .. math:: z = \mathrm{softmax}((\log\pi + g) / \tau), \qquad g_k \sim \mathrm{Gumbel}(0, 1)

    A density on the open simplex, pathwise everywhere, with learned class probabilities that
    begin equal. It goes with a relaxed posterior: comparing relaxed samples by the probabilities
    of the *discrete* classes would be no bound. There is no closed-form KL: it is sampled.

    Maddison, Mnih and Teh 2017, *The Concrete Distribution*; Jang, Gu and Poole 2017,
    *Categorical Reparameterization with Gumbel-Softmax*.

    Args:
        latent: number of classes.
        temperature: :math:`\tau`; towards 0 the samples become one-hot, and gradients noisy.

    Raises ``ValueError`` where a number is not positive.

    >>> _ = torch.manual_seed(0)
    >>> z = RelaxedCategorical(4).forward().rsample((5,))
    >>> z.shape, torch.allclose(z.sum(-1), torch.ones(5))
    (torch.Size([5, 4]), True)
    """

    temperature: torch.Tensor

    def __init__(self, latent: int, temperature: float = 0.5) -> None:
        super().__init__()
        check_latent(latent)
        check_positive("temperature", temperature)
        self.latent = latent
        self.logits = nn.Parameter(torch.zeros(latent))
        self.register_buffer("temperature", torch.tensor(float(temperature)), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        return dist.RelaxedOneHotCategorical(self.temperature, logits=self.logits)
