"""The parts that a family is assembled from, whoever names them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import Network
from pyro_vae.posteriors import Posterior

Shape = int | Sequence[int]


class Parts(Protocol):
    """Makes the named parts in the sizes that a family asks for; each call makes new ones.

    Attributes:
        shape: of one example.
        latent: latent dimensions, as given for all parts.
    """

    shape: tuple[int, ...]
    latent: int

    def encoder(self, inputs: Shape, outputs: Shape) -> Network:
        """A network of the encoder's kind."""

    def decoder(self, inputs: Shape, outputs: Shape) -> Network:
        """A network of the decoder's kind."""

    def inner(self, inputs: Shape, outputs: Shape) -> Network:
        """A network between latents: of the decoder's kind, or an MLP where that makes images."""

    def posterior(self, inputs: Shape, latent: int, log_joint: Any = None) -> Posterior:
        """q(z|inputs) with its encoder.

        Without ``log_joint`` only a posterior that does not use the model may stand there.
        """

    def upper_posterior(self, inputs: Shape, latent: int) -> Posterior:
        """q(z|inputs) where the inputs are latents or features: with an inner network."""

    def prior(self, latent: int, posterior: nn.Module | None = None, **options: Any) -> Any:
        """p(z). Without ``posterior`` only a prior that does not use it may stand there."""

    def likelihood(self, inputs: Shape) -> Likelihood:
        """p(x|inputs) with its decoder."""

    def named(self, slot: str) -> str | None:
        """The class that was named for a part, where one was."""


def beside(shape: tuple[int, ...], features: int) -> tuple[int, ...]:
    """The shape of x with so many numbers beside it: more channels of images, or a longer vector.

    >>> beside((1, 8, 8), 10), beside((8, 8), 10)
    ((11, 8, 8), (74,))
    """
    if len(shape) == 3:
        return (shape[0] + features, *shape[1:])
    return (math.prod(shape) + features,)


def apart(seen: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """x of this shape, and the numbers beside it, out of one tensor with both.

    >>> import torch
    >>> x, y = apart(torch.zeros(5, 11, 8, 8), (1, 8, 8))
    >>> x.shape, y.shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 10]))
    """
    if len(shape) == 3:
        return seen[:, : shape[0]], seen[:, shape[0] :, 0, 0]
    size = math.prod(shape)
    return seen[:, :size].reshape(-1, *shape), seen[:, size:]
