"""What an invertible map is."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Transform, constraints


@dataclass(frozen=True)
class _Pair:
    """x, y = f(x) and log |det dy/dx|, and whether a gradient may be asked of them."""

    x: Tensor
    y: Tensor
    log_det: Tensor
    differentiable: bool


class Bijection(Transform):
    r"""An invertible map of vectors, y = f(x), as a transform of PyTorch and Pyro.

    Maps are made anew for each distribution, of tensors or networks that are already conditioned,
    so that what one remembers goes with the distribution. To add one: implement

    * ``forth(x) -> (y, log_det)`` with :math:`\log|\det \partial y / \partial x|`, one number for
      each vector, and
    * ``back(y) -> (x, log_det)``, the inverse, with ``log_det`` that of ``forth`` at x,

    for any leading batch dimensions, against which parameters broadcast.

    What PyTorch's cache gets wrong for flows, and this does not: the density of a sample that was
    drawn without a gradient (``q.sample()``) keeps its gradient in the parameters; a value can be
    scored, and differentiated, twice; and no reference cycle keeps a step's graph alive. As there,
    the density of a sample just drawn never inverts.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self) -> None:
        super().__init__()
        self._drawn: _Pair | None = None
        self._scored: _Pair | None = None

    @abstractmethod
    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""y ``(*batch, latent)`` and :math:`\log|\det \partial y/\partial x|` ``(*batch,)``."""

    @abstractmethod
    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""x and :math:`\log|\det \partial y/\partial x|` there, of the same shapes."""

    def __call__(self, x: Tensor) -> Tensor:
        pair = self._drawn
        if pair is None or pair.x is not x or not _valid(pair):
            pair = self._drawn = _Pair(x, *self.forth(x), torch.is_grad_enabled())
        return pair.y

    def _inv_call(self, y: Tensor) -> Tensor:
        pair = self._drawn
        if pair is not None and pair.y is y and _valid(pair):
            return pair.x
        x, log_det = self.back(y)
        self._scored = _Pair(x, y, log_det, torch.is_grad_enabled())
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        # A scored pair serves the one density that asked for it: nothing differentiates it twice.
        scored, self._scored = self._scored, None
        for pair in (scored, self._drawn):
            if pair is not None and pair.x is x and pair.y is y and _valid(pair):
                return pair.log_det
        return self.forth(x)[1]

    @property
    def inv(self) -> Transform:
        inverse = super().inv
        self._inv = None  # else the two hold each other, and the graph with them
        return inverse


class Inverse(Bijection):
    """The same map, with forth and back exchanged.

    Args:
        map: the map to turn round.
    """

    def __init__(self, map: Bijection) -> None:
        super().__init__()
        self.map = map

    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_det = self.map.back(x)
        return y, -log_det

    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x, log_det = self.map.forth(y)
        return x, -log_det


def _valid(pair: _Pair) -> bool:
    return pair.differentiable or not torch.is_grad_enabled()
