"""What a posterior is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from pyro.distributions import TorchDistribution
from torch import Tensor, nn


class Posterior(nn.Module):
    """An approximate posterior q(z|x): a network, and the family whose parameters it computes.

    To add one: a file with one class that

    * takes the ``network`` that maps x to the family's parameters, then what configures it;
    * says in ``outputs(latent, **options)`` the event shape that the network must put out, so
      that the command line can build the network; ``options`` are the constructor's own, and a
      class names those that change the shape (``rank=2, **_``);
    * implements ``forward(x) -> distribution`` with the batch shape of ``x`` (any number of
      leading dimensions) and event shape ``(latent,)``, reparameterised where the family can be.
    """

    @staticmethod
    @abstractmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        """Event shape of the network's output for this many latent dimensions."""

    @abstractmethod
    def forward(self, x: Tensor) -> TorchDistribution:
        """q(z|x), batch shape that of ``x``, event shape ``(latent,)``."""
