"""What a likelihood is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from ._masked import MaskedDistribution


class Likelihood(nn.Module):
    """A likelihood p(x|z): a network (the decoder), and the family of what is observed.

    To add one: a file with one class that

    * takes the ``network`` that maps z to the family's parameters, then what configures it;
    * says in ``outputs(shape, **options)`` the event shape that the network must put out for
      data of event shape ``shape``, so that the command line can build the network; ``options``
      are the constructor's own, and a class names those that change it (``components=5, **_``).
      A family with n numbers for each entry of x asks for ``widened(shape, n)`` and reads them
      by ``numbers(output, z, n)``;
    * names in ``values`` the kind of data that it is a density of: ``"binary"``, ``"grey"``
      (the open or closed unit interval), ``"counts"`` (from 0 on) or ``"real"``; and where it
      takes only some of these, says which in ``takes``;
    * implements ``forward(z, mask=None) -> distribution`` with batch shape ``z.shape[:-1]`` and
      the data's whole shape in the event (``as_event``, which also takes the mask). The
      distribution says its ``support`` and has a ``mean`` where the family has one.
    """

    values: ClassVar[str] = "real"

    @staticmethod
    @abstractmethod
    def outputs(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
        """Event shape of the network's output for data of event shape ``shape``."""

    @abstractmethod
    def forward(self, z: Tensor, mask: Tensor | None = None) -> TorchDistribution:
        """p(x|z), batch shape ``z.shape[:-1]``, event shape that of the data.

        ``mask`` has the shape of the data, ``True`` where an entry is known: the others add
        nothing to the log-probability, whatever they hold.
        """

    @classmethod
    def takes(cls, x: Tensor) -> bool:
        """Whether every number of ``x`` can be of this family.

        >>> from pyro_vae.likelihoods import Bernoulli
        >>> Bernoulli.takes(torch.tensor([0.0, 1.0])), Bernoulli.takes(torch.tensor([0.5]))
        (True, False)
        """
        return bool(_KINDS[cls.values](x).all())


_KINDS = {
    "binary": lambda x: (x == 0) | (x == 1),
    "grey": lambda x: (x >= 0) & (x <= 1),
    "counts": lambda x: (x >= 0) & (x == x.round()) & x.isfinite(),
    "real": torch.isfinite,
}


def descendants(kind: Any = Likelihood) -> Iterator[type[Likelihood]]:
    """Every subclass that has been defined so far, of this package or another."""
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def as_event(
    distribution: TorchDistribution, z: Tensor, mask: Tensor | None = None
) -> TorchDistribution:
    """Mask single entries, then move into the event every batch dimension ``z`` does not have.

    Args:
        distribution: independent numbers, batch shape ``(*z.shape[:-1], *event)``.
        z: what it was computed from, ``(*batch, latent)``.
        mask: boolean, ``True`` where an entry of x is known, of the data's shape; leading
            dimensions (particles) may be absent.

    Raises ``TypeError`` for a mask that is not boolean, ``ValueError`` for one of another shape.

    >>> import torch, pyro.distributions as dist
    >>> p = as_event(dist.Normal(torch.zeros(5, 28, 28), 1.0), torch.zeros(5, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([5]), torch.Size([28, 28]))
    >>> p = as_event(dist.Normal(torch.zeros(1, 2), 1.0), torch.zeros(1, 2),
    ...              mask=torch.tensor([[True, False]]))
    >>> p.log_prob(torch.zeros(1, 2))       # of one number, not of two
    tensor([-0.9189])
    """
    batch = distribution.batch_shape
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"a mask is boolean, True where x is known, not {mask.dtype}")
        fits = zip(reversed(mask.shape), reversed(batch), strict=False)
        if mask.dim() > len(batch) or not all(m in (1, n) for m, n in fits):
            raise ValueError(
                f"a mask has the shape of the data, {tuple(batch)}, not {tuple(mask.shape)}"
            )
        distribution = MaskedDistribution(distribution, mask)
    return distribution.to_event(len(batch) - (z.dim() - 1))


def widened(shape: tuple[int, ...], n: int) -> tuple[int, ...]:
    """The network's event shape where each entry of x needs n numbers: the first size times n.

    Images keep their height and width, and vectors stay vectors, so that any network will do.

    Raises ``ValueError`` where one number of x has no dimension at all, and n is not 1.

    >>> widened((784,), 2), widened((3, 28, 28), 2), widened((3, 28, 28), 1)
    ((1568,), (6, 28, 28), (3, 28, 28))
    """
    if n == 1:
        return shape
    if not shape:
        raise ValueError(
            f"x has no event dimension to hold {n} numbers: unsqueeze it, x[..., None]"
        )
    return (n * shape[0], *shape[1:])


def numbers(output: Tensor, z: Tensor, n: int) -> tuple[Tensor, ...]:
    """The n numbers of each entry of x, from a network's output of shape ``widened(shape, n)``.

    Those of one entry are neighbours: along the first event dimension, entry i has
    ``n * i, ..., n * i + n - 1``.

    Raises ``ValueError`` for an output that is not a multiple of n long.

    >>> loc, raw = numbers(torch.arange(6.0), torch.zeros(2), 2)
    >>> loc, raw
    (tensor([0., 2., 4.]), tensor([1., 3., 5.]))
    """
    if n == 1:
        return (output,)
    event = output.dim() - (z.dim() - 1)
    if event < 1 or output.shape[-event] % n:
        raise ValueError(
            f"this likelihood needs {n} numbers for each entry of x, but the network puts out "
            f"events of shape {tuple(output.shape[z.dim() - 1 :])}: build it with the likelihood's "
            "outputs(shape)"
        )
    return output.unflatten(-event, (-1, n)).unbind(-event)
