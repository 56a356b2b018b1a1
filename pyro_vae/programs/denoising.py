r"""A guide that sees x spoilt: the denoising variational autoencoder.

.. math:: p(x, z) = p(z)\, p(x|z) \qquad
    \tilde q(z|x) = \int q(z|\tilde x)\, c(\tilde x|x)\, d\tilde x

::

    z ──► x      x ──► x̃ ──► z
    model        guide

*Which bound*: with one corrupted copy of each example in a step, the objectives give

.. math::
    \mathcal L = \mathbb E_{c(\tilde x|x)} \mathbb E_{q(z|\tilde x)}
    \Big[\log\frac{p(x, z)}{q(z|\tilde x)}\Big]
    \;\le\; \mathbb E_{\tilde q(z|x)}\Big[\log\frac{p(x, z)}{\tilde q(z|x)}\Big]
    \;\le\; \log p(x).

The clean x is reconstructed. :math:`\mathcal L` is an ELBO for every single :math:`\tilde x`, and
so is its mean; it is below the ELBO of the mixture :math:`\tilde q`, whose density nobody can
compute, by the information that z has of :math:`\tilde x` beyond x. The same holds for
importance-weighted bounds, whose particles share one :math:`\tilde x`. In evaluation mode nothing
is spoilt, and every bound is that of q(z|x).

Im, Ahn, Memisevic and Bengio 2017, *Denoising Criterion for Variational Auto-Encoding Framework*.
"""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from .registration import Program
from .vae import Model

__all__ = ["Guide", "Model"]


class Guide(Program):
    """q(z|x~), with x~ a spoilt copy of x.

    The copy is no site: what the bound averages over is said in the module's docstring.

    Args:
        posterior: ``posterior(x) -> q(z|x)``.
        corruption: ``corruption(x) -> x~``, such as ``AdditiveNoise``, ``Dropout`` or ``Masking``.

    Call: ``guide(x)`` with x ``(batch, *event)``, clean; returns z ``(batch, latent)``. What comes
    after x goes to the posterior.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> from pyro_vae.programs.corruption import Masking
    >>> guide = Guide(DiagonalNormal(MLP(64, 2 * 2)), Masking(0.25))
    """

    def __init__(self, posterior: nn.Module, corruption: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior
        self.corruption = corruption

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.posterior(self.corruption(x), *context))
