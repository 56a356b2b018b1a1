"""Reflections."""

from __future__ import annotations

import torch
from torch import Tensor

from .bijection import Bijection


class Householder(Bijection):
    r"""A product of reflections, one for each vector v: an orthogonal matrix times x.

    .. math:: y = H_K \cdots H_1 x, \qquad H = I - 2 \frac{v v^T}{|v|^2}

    Volumes stay, so the log-determinant is zero.

    Tomczak and Welling 2016, *Improving Variational Auto-Encoders using Householder Flow*.

    Args:
        vectors: ``(*batch, K, latent)``, the order that they are applied in.

    >>> Householder(torch.tensor([[0.0, 3.0]])).forth(torch.tensor([3.0, 5.0]))
    (tensor([ 3., -5.]), tensor(0.))
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = unit(vectors)

    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = reflect(x, self.vectors)
        return y, y.new_zeros(y.shape[:-1])

    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x = reflect(y, self.vectors, backwards=True)
        return x, x.new_zeros(x.shape[:-1])


def unit(vectors: Tensor) -> Tensor:
    """The vectors at length one; a zero vector stays zero (and reflects nothing)."""
    square = vectors.square().sum(-1, keepdim=True)
    return vectors * square.clamp_min(torch.finfo(vectors.dtype).tiny).rsqrt()


def reflect(x: Tensor, units: Tensor, backwards: bool = False) -> Tensor:
    """x reflected by each unit vector of ``(*batch, K, latent)`` in turn, or in the other turn."""
    turns = units.unbind(-2)
    for v in reversed(turns) if backwards else turns:
        x = x - 2 * (v * x).sum(-1, keepdim=True) * v
    return x
