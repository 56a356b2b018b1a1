"""The likelihood of a table's rows."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from ._columns import MixedColumns
from .base import Likelihood, as_event, descendants


class Mixed(Likelihood):
    r"""Rows of a table whose columns are each of their own family.

    .. math:: p(x|z) = \prod_i p_i(x_i|z)

    A family is the name of another likelihood, with its first option behind a colon where it
    needs one: ``"Normal"``, ``"Bernoulli"``, ``"Categorical:3"``, ``"Normal:0.1"``,
    ``"StudentT:3"``. What those learn once for all of x, such as a noise scale, is here learned
    for each column.

    Nazabal, Olmos, Ghahramani and Valera 2020, *Handling Incomplete Heterogeneous Data using
    VAEs*.

    Args:
        network: maps z ``(*batch, latent)`` to the numbers of all columns (see ``outputs``).
            MixedColumns of one family stand together, in the order in which families first come.
        families: one name for each column.

    Raises ``ValueError`` for a family that there is not, or other families than columns.

    >>> import torch
    >>> families = ["Normal", "Bernoulli", "Categorical:3"]
    >>> Mixed.outputs((3,), families=families)
    (5,)
    >>> p = Mixed(nn.Linear(2, 5), families)(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([3]))
    """

    values = "real"

    def __init__(self, network: nn.Module, families: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.families = tuple(families)
        self.columns = list(_groups(families).values())
        self.parts = nn.ModuleList()
        self.sizes: list[int] = []
        for family, columns in _groups(families).items():
            kind, options = _parse(family)
            outputs = kind.outputs((len(columns),), **options)
            self.sizes.append(outputs[0])
            self.parts.append(kind(_Numbers(outputs), **options))

    @staticmethod
    def outputs(
        shape: tuple[int, ...], *, families: Sequence[str] = (), **_: Any
    ) -> tuple[int, ...]:
        if shape != (len(families),):
            raise ValueError(
                f"Mixed needs one family for each column of a table, but there are {len(families)} "
                f"families and x has event shape {tuple(shape)}"
            )
        total = 0
        for family, columns in _groups(families).items():
            kind, options = _parse(family)
            total += kind.outputs((len(columns),), **options)[0]
        return (total,)

    @classmethod
    def takes(cls, x: Tensor) -> bool:
        return False  # what it takes is up to its families

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        output = self.network(z)
        if output.dim() != z.dim() or output.shape[-1] != sum(self.sizes):
            raise ValueError(
                f"Mixed needs {sum(self.sizes)} numbers from its network for these families, not "
                f"events of shape {tuple(output.shape[z.dim() - 1 :])}"
            )
        parts = []
        for part, numbers, columns in zip(
            self.parts, output.split(self.sizes, -1), self.columns, strict=True
        ):
            known = None if mask is None else mask[..., columns]
            parts.append(part(numbers, known).to_event(-1))
        return as_event(MixedColumns(parts, self.columns), z, mask)


class _Numbers(nn.Module):
    """In place of a network inside one family: the numbers are there already."""

    def __init__(self, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, numbers: Tensor) -> Tensor:
        return numbers


def _groups(families: Sequence[str]) -> dict[str, list[int]]:
    """The columns of each family."""
    groups: dict[str, list[int]] = {}
    for column, family in enumerate(families):
        groups.setdefault(family, []).append(column)
    return groups


def _parse(family: str) -> tuple[Any, dict[str, Any]]:
    """The class and its options, of ``"Name"`` or ``"Name:first option"``."""
    name, colon, option = family.partition(":")
    kinds = {kind.__name__: kind for kind in descendants() if kind is not Mixed}
    if name not in kinds:
        known = ", ".join(sorted(kinds))
        raise ValueError(f"there is no family {name!r} for a column: choose from {known}")
    parameters = list(inspect.signature(kinds[name]).parameters.values())[1:]
    options = {p.name: "per-dimension" for p in parameters if p.default == "shared"}
    if colon and not parameters:
        raise ValueError(f"the family {name!r} has no options, so {family!r} says too much")
    if colon:
        options[parameters[0].name] = _literal(option)
    elif parameters and parameters[0].default is inspect.Parameter.empty:
        needed = parameters[0].name
        raise ValueError(f"the family {name!r} needs its {needed}: write '{name}:{needed}'")
    return kinds[name], options


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
