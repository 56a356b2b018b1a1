r"""The variational autoencoder: a model and a guide.

.. math:: p(x, z) = p(z)\, p(x|z) \qquad q(z|x)

::

    z ──► x      x ──► z
    model        guide

Kingma and Welling 2014, *Auto-Encoding Variational Bayes*; Rezende, Mohamed and Wierstra 2014,
*Stochastic Backpropagation and Approximate Inference in Deep Generative Models*.
"""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from .registration import Program


class Model(Program):
    """p(x, z) = p(z) p(x|z).

    Args:
        prior: ``prior() -> p(z)``.
        likelihood: ``likelihood(z) -> p(x|z)``.

    Call: ``model(x)`` with x ``(batch, *event)``; returns x (observed, or sampled under
    ``poutine.uncondition``). What comes after x is the guide's.

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import StandardNormal
    >>> model = Model(StandardNormal(2), Bernoulli(MLP(2, 64)))
    """

    def __init__(self, prior: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.likelihood(z), obs=x)


class Guide(Program):
    """q(z|x).

    Args:
        posterior: ``posterior(x) -> q(z|x)``.

    Call: ``guide(x)`` with x ``(batch, *event)``; returns z ``(batch, latent)``. What comes after x
    goes to the posterior, such as the number of each example to ``PerExample``.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> guide = Guide(DiagonalNormal(MLP(64, 2 * 2)))
    """

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.posterior(x, *context))
