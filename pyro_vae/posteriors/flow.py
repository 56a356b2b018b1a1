"""What all flow posteriors share: a base family, and a map on top of it."""

from __future__ import annotations

import importlib
import inspect
from abc import abstractmethod
from collections.abc import Sequence
from math import prod

import pyro.distributions as dist
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae.flows import Bijection

from .base import Posterior


class FlowPosterior(Posterior):
    r"""A draw of a base family q_0(z|x), moved by invertible maps that know x.

    .. math:: z = f_L \circ \cdots \circ f_1(z_0; x), \quad z_0 \sim q_0, \qquad
        \log q(z|x) = \log q_0(z_0|x) - \sum_l \log|\det \partial f_l|

    The network puts out the base family's parameters first, then the flow's. The density of a
    sample is known from drawing it; that of any other value takes the inverse.

    To add one: implement ``maps(parameters)``, and ``outputs`` by :func:`flow_outputs`.

    Args:
        network: x ``(*batch, *event)`` to ``(*batch, outputs)``.
        latent: number of latent dimensions.
        base: the base family, any posterior that reads its parameters from a vector.
        parameters: how many of the network's outputs are the flow's.
    """

    def __init__(
        self, network: nn.Module, latent: int, base: type[Posterior] | str, parameters: int
    ) -> None:
        super().__init__()
        self.network, self.latent = network, latent
        kind = as_family(base)
        needs_latent = "latent" in inspect.signature(kind).parameters
        options = {"latent": latent} if needs_latent else {}
        self.base = kind(nn.Identity(), **options)
        self.split = [prod(kind.outputs(latent)), parameters]

    @abstractmethod
    def maps(self, parameters: Tensor) -> Sequence[Bijection]:
        """The maps, the first one first, for parameters ``(*batch, parameters)``."""

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        outputs = self.network(x)
        if outputs.shape[-1] != sum(self.split):
            raise ValueError(
                f"{type(self).__name__} takes a network with {sum(self.split)} outputs "
                f"({self.split[0]} for its base, {self.split[1]} for its maps), "
                f"not {outputs.shape[-1]}"
            )
        base, flow = outputs.split(self.split, -1)
        q0 = self.base(base)
        if q0.support is constraints.simplex:
            raise ValueError(
                f"{type(self).__name__} maps any vectors, and {type(self.base).__name__} draws "
                "proportions: take a base on the whole space, such as DiagonalNormal"
            )
        return dist.TransformedDistribution(q0, list(self.maps(flow)))


def flow_outputs(latent: int, base: type[Posterior] | str, parameters: int) -> tuple[int, ...]:
    """Event shape of the network's output: the base family's numbers, then the flow's."""
    return (prod(as_family(base).outputs(latent)) + parameters,)


def as_family(base: type[Posterior] | str) -> type[Posterior]:
    """A posterior class, also by its import path, as configuration files have it.

    Raises ``ValueError`` where there is none.

    >>> as_family("pyro_vae.posteriors.DiagonalNormal").__name__
    'DiagonalNormal'
    """
    found: object = base
    if isinstance(base, str):
        module, _, name = base.rpartition(".")
        try:
            found = getattr(importlib.import_module(module or __package__), name, None)
        except ImportError:
            found = None
    if not (isinstance(found, type) and issubclass(found, Posterior)):
        raise ValueError(f"base is a posterior class, such as DiagonalNormal, not {base!r}")
    return found


def check_layers(layers: int) -> None:
    """Raise ``ValueError`` for a flow without maps."""
    if layers < 1:
        raise ValueError(f"layers is at least 1, not {layers}")
