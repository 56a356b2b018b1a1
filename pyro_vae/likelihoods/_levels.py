"""A categorical distribution whose labels are numbers."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor

from ._elementwise import ONE, Shape


class CategoricalLevels(dist.Categorical):
    """Pyro's categorical distribution over 0, 1, 2, ..., with draws and a mean like the data.

    Draws have the type of the logits, as data have, in place of int64; and where PyTorch's mean
    is nan, this is that of the number, the sum of k P(k).
    """

    def log_prob(self, value: Tensor) -> Tensor:
        # PyTorch's own: Pyro's asks first whether the value is an enumerated one, by its id, and
        # that cannot be compiled. The answer is the same.
        return torch.distributions.Categorical.log_prob(self, value)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        return super().sample(sample_shape).to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        levels = torch.arange(self.logits.shape[-1], device=self.logits.device)
        return (self.probs * levels).sum(-1)
