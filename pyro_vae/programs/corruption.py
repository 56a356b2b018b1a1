"""Ways to spoil data, for guides that are trained on what is left."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn


class Corruption(nn.Module):
    """Random harm to x: a module that acts in training mode and lets x through in evaluation.

    To add one: a file or a class with ``corrupt(x)``, a tensor of the shape of x that differs from
    call to call, made by torch's random numbers (so that seeds and compiled steps govern it).

    Call: ``corruption(x)``. To spoil data in evaluation as well, call ``corruption.corrupt(x)``.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.corrupt(x) if self.training else x

    @abstractmethod
    def corrupt(self, x: Tensor) -> Tensor:
        """x, spoilt: ``(batch, *event)`` to the same shape."""


class AdditiveNoise(Corruption):
    r"""Normal noise on every entry: :math:`\tilde x = x + \sigma\epsilon`.

    Args:
        scale: :math:`\sigma`.

    Raises ``ValueError`` for a scale that is not positive and finite.

    >>> x = torch.zeros(1000)
    >>> bool(abs(AdditiveNoise(0.5)(x).std() - 0.5) < 0.1)
    True
    >>> torch.equal(AdditiveNoise(0.5).eval()(x), x)
    True
    """

    def __init__(self, scale: float = 0.5) -> None:
        super().__init__()
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale is a positive number, not {scale!r}")
        self.scale = scale

    def corrupt(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.randn_like(x)


class Masking(Corruption):
    r"""Entries set to one value, others left: :math:`\tilde x_i = v` with probability ``rate``.

    Vincent, Larochelle, Lajoie, Bengio and Manzagol 2010, *Stacked Denoising Autoencoders*.

    Args:
        rate: the probability, in [0, 1).
        value: v.

    Raises ``ValueError`` for a rate outside [0, 1).

    >>> Masking(rate=0.5, value=9.0)(torch.zeros(1000)).unique()
    tensor([0., 9.])
    """

    def __init__(self, rate: float = 0.25, value: float = 0.0) -> None:
        super().__init__()
        self.rate = _rate(rate)
        self.value = value

    def corrupt(self, x: Tensor) -> Tensor:
        return torch.where(_chosen(x, self.rate), torch.full_like(x, self.value), x)


class Dropout(Corruption):
    r"""Entries set to 0, others enlarged, so that the mean is kept: :math:`E[\tilde x] = x`.

    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, *Dropout: A Simple Way to
    Prevent Neural Networks from Overfitting*.

    Args:
        rate: the probability of 0, in [0, 1); the others are divided by 1 - rate.

    Raises ``ValueError`` for a rate outside [0, 1).

    >>> Dropout(rate=0.5)(torch.ones(1000)).unique()
    tensor([0., 2.])
    """

    def __init__(self, rate: float = 0.25) -> None:
        super().__init__()
        self.rate = _rate(rate)

    def corrupt(self, x: Tensor) -> Tensor:
        return torch.where(_chosen(x, self.rate), torch.zeros_like(x), x / (1 - self.rate))


class SaltAndPepper(Corruption):
    """Entries set to the least or the greatest value, each with probability ``rate / 2``.

    Args:
        rate: the probability, in [0, 1).
        low, high: the two values.

    Raises ``ValueError`` for a rate outside [0, 1).

    >>> SaltAndPepper(rate=0.5)(torch.full((1000,), 0.5)).unique()
    tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, rate: float = 0.25, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.rate = _rate(rate)
        self.low, self.high = low, high

    def corrupt(self, x: Tensor) -> Tensor:
        salt = torch.where(_chosen(x, 0.5), self.high, self.low).to(x)
        return torch.where(_chosen(x, self.rate), salt, x)


def _chosen(x: Tensor, rate: float) -> Tensor:
    """Which entries, each with this probability."""
    return torch.rand(x.shape, device=x.device) < rate


def _rate(rate: float) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"rate is a probability from 0 to below 1, not {rate!r}")
    return rate
