r"""Latents in layers, and two guides for them: from the bottom up, and from the top down.

.. math:: p(x, z_1, \ldots, z_L) = p(z_L) \prod_{l<L} p(z_l|z_{l+1})\; p(x|z_1)

.. math:: \text{bottom up: } q(z_1|x) \prod_{l<L} q(z_{l+1}|z_l) \qquad
          \text{top down: } q(z_L|x) \prod_{l<L} q(z_l|z_{l+1}, x)

::

    z2 ──► z1 ──► x     x ──► z1 ──► z2     x ──► d1 ──► d2
                                                  │      ▼
                                                  ▼      z2
                                                  z1 ◄───┘
       model              bottom up            top down

``z1`` is nearest the data. From the bottom up, what z2 learns has to come through a noisy z1, and
in deep hierarchies the upper layers may stay unused; from the top down the guide takes the model's
own order, and each layer only corrects what the model expects of it.

Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders* (bottom up); Sønderby,
Raiko, Maaløe, Sønderby and Winther 2016, *Ladder Variational Autoencoders* (top down).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from .registration import Program


class Model(Program):
    """p(zL) p(zL-1|zL) ... p(z1|z2) p(x|z1).

    Args:
        prior: ``prior() -> p(zL)``.
        layers: p(z1|z2), p(z2|z3), ...: each a part that makes a distribution from the latent
            above, such as ``DiagonalNormal(MLP(above, 2 * latent))``. None at all is the VAE.
        likelihood: ``likelihood(z1) -> p(x|z1)``.

    Call: ``model(x)`` with x ``(batch, *event)``; returns x (observed, or sampled under
    ``poutine.uncondition``).

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> from pyro_vae.priors import StandardNormal
    >>> z1_from_z2 = DiagonalNormal(MLP(2, 2 * 5))
    >>> model = Model(StandardNormal(2), [z1_from_z2], Bernoulli(MLP(5, 64)))
    """

    def __init__(
        self, prior: nn.Module, layers: Sequence[nn.Module], likelihood: nn.Module
    ) -> None:
        super().__init__()
        self.prior = prior
        self.layers = nn.ModuleList(layers)
        self.likelihood = likelihood

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        top = len(self.layers) + 1
        with pyro.plate("data", len(x)):
            z = pyro.sample(f"z{top}", self.prior())
            for number in range(top - 1, 0, -1):
                z = pyro.sample(f"z{number}", self.layers[number - 1](z))
            return pyro.sample("x", self.likelihood(z), obs=x)


class Guide(Program):
    """From the bottom up: q(z1|x) q(z2|z1) ... q(zL|zL-1).

    Args:
        posteriors: q(z1|x), q(z2|z1), ..., as many as the model has layers.

    Call: ``guide(x)``; returns ``[z1, ..., zL]``, each ``(batch, latent)``.

    Raises ``ValueError`` without any posterior.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> guide = Guide([DiagonalNormal(MLP(64, 2 * 5)), DiagonalNormal(MLP(5, 2 * 2))])
    """

    def __init__(self, posteriors: Sequence[nn.Module]) -> None:
        super().__init__()
        if not len(posteriors):
            raise ValueError("a guide has at least one layer: give posteriors=[q(z1|x), ...]")
        self.posteriors = nn.ModuleList(posteriors)

    def forward(self, x: Tensor, *context: Tensor) -> list[Tensor]:
        latents, below = [], x
        with pyro.plate("data", len(x)):
            for number, posterior in enumerate(self.posteriors, start=1):
                below = pyro.sample(f"z{number}", posterior(below))
                latents.append(below)
        return latents


class LadderGuide(Program):
    r"""From the top down, with the model's own layers: q(zL|x) ... q(z1|z2, x).

    A deterministic path goes up, :math:`d_l = u_l(d_{l-1})` from :math:`d_0 = x`, and each
    :math:`d_l` says what the data hold of :math:`z_l`: a normal
    :math:`\mathcal N(\hat\mu_l, \hat\sigma_l^2)`. On the way down it is multiplied by what the
    model expects, :math:`p(z_l|z_{l+1}) = \mathcal N(\mu_l, \sigma_l^2)`:

    .. math:: q(z_l|z_{l+1}, x) \propto \mathcal N(z_l; \hat\mu_l, \hat\sigma_l^2)\;
              p(z_l|z_{l+1}), \qquad q(z_L|x) = \mathcal N(\hat\mu_L, \hat\sigma_L^2)

    That is the form of Bayes' rule itself: exact where the likelihood's message about
    :math:`z_l` is a diagonal normal.

    Args:
        up: networks u1, u2, ..., uL.
        posteriors: of d1, d2, ..., dL, each a diagonal normal.
        layers: ``model.layers``, whose parameters model and guide then share.

    Call: ``guide(x)``; returns ``[z1, ..., zL]``, each ``(batch, latent)``.

    Raises ``ValueError`` where the numbers of layers differ, or a layer is not a diagonal normal.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> layers = nn.ModuleList([DiagonalNormal(MLP(2, 2 * 5))])        # those of the model
    >>> guide = LadderGuide(
    ...     up=[MLP(64, 100), MLP(100, 100)],
    ...     posteriors=[DiagonalNormal(MLP(100, 2 * 5)), DiagonalNormal(MLP(100, 2 * 2))],
    ...     layers=layers,
    ... )
    """

    def __init__(
        self, up: Sequence[nn.Module], posteriors: Sequence[nn.Module], layers: nn.ModuleList
    ) -> None:
        super().__init__()
        counts = len(up), len(posteriors), len(layers) + 1
        if len(set(counts)) > 1:
            raise ValueError(
                f"{counts[0]} networks up and {counts[1]} posteriors for a model of {counts[2]} "
                "layers: give one of each for each layer"
            )
        self.up = nn.ModuleList(up)
        self.posteriors = nn.ModuleList(posteriors)
        self.layers = layers

    def forward(self, x: Tensor, *context: Tensor) -> list[Tensor]:
        found, path = [], x
        for up, posterior in zip(self.up, self.posteriors, strict=True):
            path = up(path)
            found.append(posterior(path))
        with pyro.plate("data", len(x)):
            latents = [pyro.sample(f"z{len(found)}", found[-1])]
            for number in range(len(found) - 1, 0, -1):
                expected = self.layers[number - 1](latents[0])
                q = product(found[number - 1], expected)
                latents.insert(0, pyro.sample(f"z{number}", q))
        return latents


def product(
    first: dist.TorchDistribution, second: dist.TorchDistribution
) -> dist.TorchDistribution:
    r"""The normal proportional to the product of two densities: precisions add.

    .. math:: \sigma^{-2} = \sigma_1^{-2} + \sigma_2^{-2}, \qquad
              \mu = \sigma^2 (\mu_1 \sigma_1^{-2} + \mu_2 \sigma_2^{-2})

    Raises ``ValueError`` for what is not a diagonal normal.

    >>> one, other = dist.Normal(torch.zeros(1), 1.0), dist.Normal(torch.ones(1), 1.0)
    >>> q = product(one.to_event(1), other.to_event(1))
    >>> q.mean, q.variance
    (tensor([0.5000]), tensor([0.5000]))
    """
    for factor in (first, second):
        if not isinstance(getattr(factor, "base_dist", None), torch.distributions.Normal):
            raise ValueError(
                f"a ladder multiplies diagonal normals, not {type(factor).__name__}: use "
                "DiagonalNormal for its posteriors and for the model's layers"
            )
    a, b = first.base_dist, second.base_dist
    weights = a.scale.pow(-2), b.scale.pow(-2)
    precision = weights[0] + weights[1]
    loc = (a.loc * weights[0] + b.loc * weights[1]) / precision
    return dist.Normal(loc, precision.rsqrt()).to_event(1)
