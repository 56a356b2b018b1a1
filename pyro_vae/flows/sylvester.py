"""Bending inside a subspace."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .bijection import Bijection
from .householder import reflect, unit
from .roots import solve_tanh


class Sylvester(Bijection):
    r"""y = x + Q R tanh(S Q^T x + b): a planar map of several directions at once.

    Q ``(latent, M)`` has orthonormal columns, the first M of a product of M reflections, so that
    they are orthonormal to the last digit whatever the parameters. R and S are upper triangular,
    with diagonals between -1 and 1 by a tanh, which makes the map invertible:

    .. math:: \log|\det| = \sum_i \log\big(1 + R_{ii} S_{ii} (1 - \tanh^2(\cdot)_i)\big).

    The inverse solves for one coordinate of :math:`Q^T x` after the other, from the last.

    van den Berg, Hasenclever, Tomczak and Welling 2018, *Sylvester Normalizing Flows for
    Variational Inference*.

    Args:
        vectors: of the reflections, ``(*batch, M, latent)`` with M at most ``latent``.
        matrix: ``(*batch, M, M)``: what is above its diagonal is R's, what is below S's
            (transposed), and its diagonal is b.
        diagonals: of R and S, before the tanh, ``(*batch, 2, M)``.

    >>> _ = torch.manual_seed(0)
    >>> sizes = (2, 3), (2, 2), (2, 2)
    >>> sylvester = Sylvester(*(torch.randn(*size, dtype=torch.float64) for size in sizes))
    >>> x = torch.tensor([0.4, -0.7, 0.1]).double()
    >>> sylvester.back(sylvester.forth(x)[0])[0]
    tensor([ 0.4000, -0.7000,  0.1000], dtype=torch.float64)
    """

    def __init__(self, vectors: Tensor, matrix: Tensor, diagonals: Tensor) -> None:
        super().__init__()
        self.units = unit(vectors)
        r, s = diagonals.tanh().unbind(-2)
        self.r = matrix.triu(1) + torch.diag_embed(r)
        self.s = matrix.transpose(-1, -2).triu(1) + torch.diag_embed(s)
        self.shift = matrix.diagonal(dim1=-2, dim2=-1)
        self.product = r * s

    def forth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inside = self._project(x)
        t = torch.tanh(_times(self.s, inside) + self.shift)
        return x + self._embed(_times(self.r, t)), self._log_det(t)

    def back(self, y: Tensor) -> tuple[Tensor, Tensor]:
        target = self._project(y)
        size = target.shape[-1]
        v: list[Tensor] = []  # from the last coordinate to the first
        t: list[Tensor] = []
        for i in reversed(range(size)):
            rest, shift = target[..., i], self.shift[..., i]
            for j, (value, bent) in enumerate(zip(v, t, strict=True)):
                rest = rest - self.r[..., i, size - 1 - j] * bent
                shift = shift + self.s[..., i, size - 1 - j] * value
            v.append(solve_tanh(rest, self.r[..., i, i], self.s[..., i, i], shift))
            t.append(torch.tanh(self.s[..., i, i] * v[-1] + shift))
        bent = torch.stack(t[::-1], -1)
        return y - self._embed(_times(self.r, bent)), self._log_det(bent)

    def _project(self, x: Tensor) -> Tensor:
        """Q^T x."""
        return reflect(x, self.units, backwards=True)[..., : self.units.shape[-2]]

    def _embed(self, v: Tensor) -> Tensor:
        """Q v."""
        padded = pad(v, (0, self.units.shape[-1] - self.units.shape[-2]))
        return reflect(padded, self.units)

    def _log_det(self, t: Tensor) -> Tensor:
        return torch.log1p(self.product * (1 - t**2)).sum(-1)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
