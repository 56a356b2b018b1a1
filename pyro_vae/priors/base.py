"""What a prior is."""

from __future__ import annotations

from abc import abstractmethod

from pyro.distributions import TorchDistribution
from torch import nn


class Prior(nn.Module):
    """A prior p(z): a module whose call returns a Pyro distribution over one latent event.

    To add one: a file with one class that

    * takes what configures it in its constructor (``latent``, the number of latent dimensions,
      is filled in by the command line), and keeps constants as buffers, so that ``.to`` works;
    * implements ``forward() -> distribution`` with batch shape ``()`` and event shape
      ``(latent,)``: every dimension of z is in the event (``.to_event(1)``);
    * keeps what is learned as parameters: they are theta, and train with the likelihood.
    """

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """p(z), batch shape ``()``, event shape ``(latent,)``."""
