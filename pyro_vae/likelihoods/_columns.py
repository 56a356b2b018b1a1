"""Numbers side by side, each column of its own family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from ._elementwise import ONE, Shape


class MixedColumns(TorchDistribution):
    """Independent numbers along the last batch dimension, of several families.

    Args:
        parts: distributions of single numbers, batch shapes ``(*batch, columns of the part)``.
        columns: where each part's numbers stand in the row.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(
        self,
        parts: Sequence[TorchDistribution],
        columns: Sequence[Sequence[int]],
        validate_args: bool | None = None,
    ) -> None:
        self.parts, self.columns = list(parts), [list(c) for c in columns]
        width = sum(map(len, self.columns))
        shape = torch.broadcast_shapes(*(p.batch_shape[:-1] for p in self.parts))
        super().__init__(torch.Size((*shape, width)), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        shape = torch.Size(batch_shape)
        parts = [
            part.expand(torch.Size((*shape[:-1], len(columns))))
            for part, columns in zip(self.parts, self.columns, strict=True)
        ]
        return type(self)(parts, self.columns, validate_args=self._validate_args)

    @constraints.dependent_property(event_dim=0)
    def support(self):
        supports: list[Any] = [part.support for part in self.parts]
        return ColumnsSupport(supports, self.columns)

    def log_prob(self, value: Tensor) -> Tensor:
        # Each part validates its own columns.
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        found = [
            part.log_prob(value[..., columns]).expand(*shape[:-1], len(columns))
            for part, columns in zip(self.parts, self.columns, strict=True)
        ]
        return join(found, self.columns)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        return join([part.sample(sample_shape) for part in self.parts], self.columns)

    @property
    def mean(self) -> Tensor:
        return join([part.mean for part in self.parts], self.columns)


class ColumnsSupport(Constraint):
    """Each column in the support of its own family."""

    def __init__(self, parts: Sequence[Constraint], columns: Sequence[Sequence[int]]) -> None:
        self.parts, self.columns = parts, columns
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        found = [
            part.check(value[..., columns])
            for part, columns in zip(self.parts, self.columns, strict=True)
        ]
        return join(found, self.columns)


def join(parts: Sequence[Tensor], columns: Sequence[Sequence[int]]) -> Tensor:
    """Put the columns of each part where they belong in the row.

    >>> join([torch.tensor([0.0, 2.0]), torch.tensor([1.0])], [[0, 2], [1]])
    tensor([0., 1., 2.])
    """
    order = [column for group in columns for column in group]
    back = sorted(range(len(order)), key=order.__getitem__)
    return torch.cat(list(parts), -1)[..., back]
