r"""The conditional VAE: everything given a context y, a label or a known part of the data.

.. math:: p(x, z|y) = p(z|y)\, p(x|z, y) \qquad q(z|x, y)

::

    y ──► z ──► x      x ──► z
    └───────────▲      y ─────▲
        model            guide

The bound is one on log p(x|y): nothing is said of how y comes about. Whatever y explains need not
go through z, so z holds what y leaves open, such as the style of a digit of known class, or the
half of an image that one does not see.

Sohn, Lee and Yan 2015, *Learning Structured Output Representation using Deep Conditional
Generative Models*; Kingma, Rezende, Mohamed and Welling 2014, *Semi-supervised Learning with Deep
Generative Models* (labels).
"""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from .inputs import asks_context, beside, context, joined
from .registration import Program


class Model(Program):
    """p(x, z|y) = p(z|y) p(x|z, y).

    Args:
        prior: ``prior(y) -> p(z|y)``, or ``prior() -> p(z)`` where z does not depend on y. Any
            part that makes a distribution from a tensor is a prior from the context, such as
            ``DiagonalNormal(MLP(features of y, 2 * latent))``.
        likelihood: called with z and y end to end, ``(*batch, latent + features of y)``.
        classes: where y are labels, how many classes; they are one-hot inside.

    Call: ``model(x, y)`` with x ``(batch, *event)`` and y labels ``(batch,)`` or numbers
    ``(batch, *event)``; returns x (observed, or sampled under ``poutine.uncondition``).

    Raises ``ValueError`` for labels outside the classes, or a context of another length.

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import StandardNormal
    >>> model = Model(StandardNormal(2), Bernoulli(MLP(2 + 10, 64)), classes=10)
    """

    def __init__(self, prior: nn.Module, likelihood: nn.Module, classes: int | None = None) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood
        self.classes = classes
        self.prior_asks = asks_context(prior)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        y = context(y, x, self.classes)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior(y) if self.prior_asks else self.prior())
            return pyro.sample("x", self.likelihood(joined(z, y.flatten(1))), obs=x)


class Guide(Program):
    """q(z|x, y).

    Args:
        posterior: called with x and y in one tensor: end to end, or y as further channels where
            x are images ``(channels, height, width)``.
        classes: as in the model.

    Call: ``guide(x, y)``; returns z ``(batch, latent)``.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> guide = Guide(DiagonalNormal(MLP(64 + 10, 2 * 2)), classes=10)
    """

    def __init__(self, posterior: nn.Module, classes: int | None = None) -> None:
        super().__init__()
        self.posterior = posterior
        self.classes = classes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        y = context(y, x, self.classes)
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.posterior(beside(x, y)))
