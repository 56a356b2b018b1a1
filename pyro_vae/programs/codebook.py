"""A codebook: the points that a quantised latent is made of."""

from __future__ import annotations

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor, nn


class Codebook(nn.Module):
    r"""K vectors :math:`e_1 \ldots e_K` of D numbers; a latent is M of them end to end.

    Args:
        size: K.
        width: D, numbers in each vector.
        codes: M, vectors in a latent of ``codes * width`` numbers.

    Raises ``ValueError`` where one is not positive.

    >>> _ = torch.manual_seed(0)
    >>> book = Codebook(size=8, width=2, codes=3)
    >>> book.nearest(torch.zeros(5, 6)).shape, book(torch.zeros(5, 3, dtype=torch.int64)).shape
    (torch.Size([5, 3]), torch.Size([5, 6]))
    """

    def __init__(self, size: int, width: int, codes: int) -> None:
        super().__init__()
        for name, value in {"size": size, "width": width, "codes": codes}.items():
            if value < 1:
                raise ValueError(f"{name} of a codebook is at least 1, not {value}")
        self.size, self.width, self.codes = size, width, codes
        self.vectors = nn.Parameter(torch.randn(size, width))

    def forward(self, k: Tensor) -> Tensor:
        """The vectors of indices ``(*batch, codes)`` end to end, ``(*batch, codes * width)``."""
        return self.vectors[k].flatten(-2)

    def nearest(self, z: Tensor) -> Tensor:
        """The index of the vector nearest to each part of z, ``(*batch, codes)``.

        Raises ``ValueError`` for a z that is not ``codes * width`` long.
        """
        if z.shape[-1] != self.codes * self.width:
            raise ValueError(
                f"a latent of {self.codes} codes of width {self.width} has "
                f"{self.codes * self.width} numbers, not {z.shape[-1]}"
            )
        parts = z.detach().unflatten(-1, (self.codes, self.width))
        vectors = self.vectors.detach()
        # Up to |z|^2, which is the same for all.
        return (vectors.square().sum(-1) - 2.0 * parts @ vectors.T).argmin(-1)

    @torch.no_grad()
    def place(self, z: Tensor, generator: torch.Generator | None = None) -> None:
        """Begin with a random choice of encodings ``(n, codes * width)``, so that all are used.

        Raises ``ValueError`` for fewer of them than the codebook has vectors.
        """
        rows = z.reshape(-1, self.width)
        if len(rows) < self.size:
            raise ValueError(
                f"{self.size} vectors need as many encodings, and there are {len(rows)}"
            )
        order = torch.randperm(len(rows), generator=generator)[: self.size]
        self.vectors.copy_(rows[order.to(rows.device)])


class Codes(dist.TorchDistribution):
    """A distribution of M indices, as one of the latent that the codebook makes of them.

    Args:
        indices: batch shape ``(*batch,)``, event shape ``(codes,)``.
        codebook: of as many codes.

    A latent that is none of the codebook's has the probability of the nearest one that is.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, indices: dist.TorchDistribution, codebook: Codebook) -> None:
        self.indices, self.codebook = indices, codebook
        event = torch.Size([codebook.codes * codebook.width])
        super().__init__(indices.batch_shape, event, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Codes:
        return Codes(self.indices.expand(torch.Size(batch_shape)), self.codebook)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.indices.log_prob(self.codebook.nearest(value))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self.codebook(self.indices.sample(torch.Size(sample_shape)).long())
