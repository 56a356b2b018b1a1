"""The likelihood of labels."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ._levels import CategoricalLevels
from .base import Likelihood, as_event, numbers, widened


class Categorical(Likelihood):
    r"""Independent labels 0, 1, ..., levels - 1, each with a probability of its own.

    .. math:: p(x|z) = \prod_i \mathrm{softmax}(f_i(z))_{x_i}

    For unordered labels, or for pixels of few levels with no shape assumed. The mean, which
    pictures show, is that of the number, :math:`\sum_k k\, p_k`; for labels without an order take
    a draw, or the most probable one (``.mode`` of the distribution inside).

    van den Oord, Kalchbrenner and Kavukcuoglu 2016, *Pixel Recurrent Neural Networks*, for pixels.

    Args:
        network: maps z ``(*batch, latent)`` to ``levels`` logits an entry (see ``outputs``).
        levels: how many labels; data are whole numbers from 0 to levels - 1, of any type.

    Raises ``ValueError`` for fewer than two levels.

    >>> p = Categorical(nn.Linear(2, 5 * 3), levels=3)(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "counts"

    def __init__(self, network: nn.Module, levels: int) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels is the number of labels, at least 2, not {levels}")
        self.network = network
        self.levels = levels

    @staticmethod
    def outputs(shape: tuple[int, ...], *, levels: int = 2, **_: Any) -> tuple[int, ...]:
        return widened(shape, levels)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        logits = torch.stack(numbers(self.network(z), z, self.levels), -1)
        return as_event(CategoricalLevels(logits=logits), z, mask)
