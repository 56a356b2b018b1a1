"""One half is mapped by the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .bijection import Bijection
from .elementwise import Elementwise


class Coupling(Bijection):
    r"""The first numbers stay; each other is mapped with parameters computed from them.

    .. math:: y_{1:k} = x_{1:k}, \qquad y_d = f(x_d; \theta_d(x_{1:k})), \quad d > k

    Forth and back take one pass of the network each.

    Dinh, Sohl-Dickstein and Bengio 2017, *Density Estimation Using Real NVP*.

    Args:
        network: ``(*batch, kept)`` to ``(*batch, latent - kept, elementwise.parameters)``.
        kept: how many stay.
        elementwise: f.
        backwards: the *last* numbers stay instead.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        kept: int,
        elementwise: Elementwise,
        backwards: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.kept = network, kept
        self.elementwise, self.backwards = elementwise, backwards

    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._map(x, self.elementwise.forth)

    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._map(y, self.elementwise.back)

    def _map(
        self, value: Tensor, f: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        value = value.flip(-1) if self.backwards else value
        kept, moved = value[..., : self.kept], value[..., self.kept :]
        moved, log_slope = f(moved, self.network(kept))
        value = torch.cat([kept, moved], -1)
        return (value.flip(-1) if self.backwards else value), log_slope.sum(-1)
