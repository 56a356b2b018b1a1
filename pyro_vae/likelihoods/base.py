"""What a likelihood is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from pyro.distributions import TorchDistribution
from torch import Tensor, nn


class Likelihood(nn.Module):
    """A likelihood p(x|z): a network (the decoder), and the family of what is observed.

    To add one: a file with one class that

    * takes the ``network`` that maps z to the family's parameters, then what configures it;
    * says in ``outputs(shape, **options)`` the event shape that the network must put out for
      data of event shape ``shape``, so that the command line can build the network; ``options``
      are the constructor's own, and a class names those that change it (``components=5, **_``);
    * names in ``values`` the kind of data that it is a density of: ``"binary"``, ``"grey"``
      (the open or closed unit interval), ``"counts"`` or ``"real"``;
    * implements ``forward(z) -> distribution`` with batch shape ``z.shape[:-1]`` and the data's
      whole shape in the event (``as_event``).
    """

    values: ClassVar[str] = "real"

    @staticmethod
    @abstractmethod
    def outputs(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
        """Event shape of the network's output for data of event shape ``shape``."""

    @abstractmethod
    def forward(self, z: Tensor) -> TorchDistribution:
        """p(x|z), batch shape ``z.shape[:-1]``, event shape that of the data."""


def as_event(distribution: TorchDistribution, z: Tensor) -> TorchDistribution:
    """Move into the event every batch dimension that ``z`` does not have.

    >>> import torch, pyro.distributions as dist
    >>> p = as_event(dist.Normal(torch.zeros(5, 28, 28), 1.0), torch.zeros(5, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([5]), torch.Size([28, 28]))
    """
    return distribution.to_event(len(distribution.batch_shape) - (z.dim() - 1))
