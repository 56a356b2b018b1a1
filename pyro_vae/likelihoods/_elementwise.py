"""Families of single numbers whose parameters are tensors: what Pyro needs besides the density."""

from __future__ import annotations

import copy

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

Shape = torch.Size | list[int] | tuple[int, ...]

#: The sample shape of one draw.
ONE = torch.Size()


class Elementwise(TorchDistribution):
    """Independent numbers, each with its own parameters: the batch shape is the parameters'.

    A subclass names its parameters in ``arg_constraints`` and its ``support``, and writes
    ``log_prob``, ``sample`` and ``mean``.

    Args:
        parameters: tensors by name, broadcast against one another.
        validate_args: whether to check parameters and values; Pyro's own setting if not said.
    """

    def __init__(self, validate_args: bool | None = None, **parameters: Tensor) -> None:
        self._names = tuple(parameters)
        for name, tensor in zip(
            parameters, torch.broadcast_tensors(*parameters.values()), strict=True
        ):
            setattr(self, name, tensor)
        shape = getattr(self, self._names[0]).shape
        super().__init__(shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        shape = torch.Size(batch_shape)
        new = copy.copy(self)
        for name in self._names:
            setattr(new, name, getattr(self, name).expand(shape))
        # The parameters are views of ones that were checked already.
        TorchDistribution.__init__(new, shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _uniform(self, sample_shape: Shape) -> Tensor:
        """Draws from (0, 1), never 0 itself, so that their logarithm is finite."""
        parameter = getattr(self, self._names[0])
        shape = self._extended_shape(torch.Size(sample_shape))
        draws = torch.rand(shape, dtype=parameter.dtype, device=parameter.device)
        return draws.clamp(min=torch.finfo(parameter.dtype).tiny)
