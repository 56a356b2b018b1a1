"""A prior of any shape, by an invertible map of normal noise."""

from __future__ import annotations

from typing import Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vae.flows import (
    Affine,
    Autoregressive,
    Bijection,
    Coupling,
    Elementwise,
    Inverse,
    MaskedNetwork,
    RationalQuadratic,
)
from pyro_vae.networks import MLP

from .base import Prior
from .checks import check_count, check_latent

Kind = Literal["coupling", "autoregressive", "spline"]


class FlowPrior(Prior):
    r"""Standard normal noise through a learned invertible map.

    .. math:: z = f(\epsilon), \quad \epsilon \sim \mathcal N(0, I), \qquad
        \log p(z) = \log \mathcal N(f^{-1}(z)) - \log|\det \partial f / \partial \epsilon|

    What training needs is the density of a z that comes from elsewhere, so every kind has a
    one-pass inverse:

    * ``"coupling"``: affine couplings (Dinh, Sohl-Dickstein and Bengio 2017, *Density Estimation
      Using Real NVP*); sampling is one pass as well;
    * ``"spline"``: couplings by rational-quadratic splines with 8 bins on [-5, 5] (Durkan et al.
      2019, *Neural Spline Flows*);
    * ``"autoregressive"``: Papamakarios, Pavlakou and Murray 2017, *Masked Autoregressive Flow
      for Density Estimation*; sampling takes ``latent`` passes a layer.

    There is no closed-form KL: it is sampled. A coupling in one dimension has nothing to condition
    on, and is a map with parameters of its own.

    Chen et al. 2017, *Variational Lossy Autoencoder* (the autoregressive prior).

    Args:
        latent: number of latent dimensions.
        kind: which map.
        layers: how many are composed, each with the dimensions in the reverse order.
        hidden: width of the two hidden layers of each network; for ``"autoregressive"`` at least
            ``latent``.

    Raises ``ValueError`` where a number is not positive, or ``kind`` is not one of these.

    >>> _ = torch.manual_seed(0)
    >>> p = FlowPrior(2, kind="spline", layers=2, hidden=16)()
    >>> p.sample((5,)).shape, p.log_prob(torch.zeros(5, 2)).shape
    (torch.Size([5, 2]), torch.Size([5]))
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self, latent: int, kind: Kind = "coupling", layers: int = 4, hidden: int = 64
    ) -> None:
        super().__init__()
        check_latent(latent)
        check_count("layers", layers)
        check_count("hidden", hidden)
        if kind not in ("coupling", "autoregressive", "spline"):
            raise ValueError(f"kind is 'coupling', 'autoregressive' or 'spline', not {kind!r}")
        self.latent, self.kind = latent, kind
        self.elementwise: Elementwise = RationalQuadratic() if kind == "spline" else Affine()
        self.kept = latent // 2
        self.networks = nn.ModuleList(self._network(hidden, i % 2 == 1) for i in range(layers))
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        noise = dist.Normal(self.loc, self.scale).to_event(1)
        maps = [self._map(network, i % 2 == 1) for i, network in enumerate(self.networks)]
        return dist.TransformedDistribution(noise, maps)

    def _network(self, hidden: int, backwards: bool) -> nn.Module:
        count = self.elementwise.parameters
        if self.kind == "autoregressive":
            return MaskedNetwork(self.latent, count, hidden, backwards=backwards)
        moved = self.latent - self.kept
        if self.kept == 0:
            return _Constant((moved, count))
        return MLP(self.kept, (moved, count), [hidden, hidden])

    def _map(self, network: nn.Module, backwards: bool) -> Bijection:
        if isinstance(network, MaskedNetwork):
            return Inverse(Autoregressive(network, network.rank, self.elementwise))
        return Coupling(network, self.kept, self.elementwise, backwards)


class _Constant(nn.Module):
    """Parameters that depend on nothing."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.value = nn.Parameter(0.1 * torch.randn(shape))

    def forward(self, _: Tensor) -> Tensor:
        return self.value
