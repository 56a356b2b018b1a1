r"""The vector-quantised VAE: the latent is M vectors of a codebook, and q a point mass.

.. math:: p(x, k) = p(k)\, p(x|e_{k_1}, \ldots, e_{k_M}) \qquad
    q(k_m|x) = \bigl[k_m = \operatorname{argmin}_j \lVert f_m(x) - e_j \rVert\bigr]

::

    k ──► z = e_k ──► x      x ──► f(x) ──► z = nearest e_k
          model                     guide

A categorical guide without entropy, so the KL is :math:`-\log p(k)`, which is :math:`M \log K`
under equal probabilities, and the bound on log p(x) is :math:`\log p(x|e_k) + \log p(k)`. The
nearest vector has no gradient; f(x) gets the one of z (straight through), and the codebook and f(x)
are drawn together by

.. math:: -\lVert \mathrm{sg}[f(x)] - e_k \rVert^2 - \beta \lVert f(x) - \mathrm{sg}[e_k] \rVert^2,

which counts in the gradient of training and nowhere else: what is reported is the bound.

To generate, the prior must know the codes. Train with ``IndependentCodes``; then freeze all of it,
and fit a model that has ``AutoregressiveCodes`` in place of that prior.

van den Oord, Vinyals and Kavukcuoglu 2017, *Neural Discrete Representation Learning*.
"""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from .codebook import Codebook
from .registration import Program
from .semi_supervised import taught


class Model(Program):
    """p(x, k) = p(k) p(x|e_k).

    Args:
        prior: ``prior() -> p(z)`` over the codebook's latents:
            :class:`~pyro_vae.programs.code_priors.IndependentCodes` or
            :class:`~pyro_vae.programs.code_priors.AutoregressiveCodes`.
        likelihood: ``likelihood(z) -> p(x|z)`` with z ``(*batch, codes * width)``.

    Call: ``model(x)`` with x ``(batch, *event)``; returns x (observed, or sampled under
    ``poutine.uncondition``).

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.programs.code_priors import IndependentCodes
    >>> book = Codebook(size=16, width=2, codes=4)
    >>> model = Model(IndependentCodes(book), Bernoulli(MLP(4 * 2, 64)))
    """

    def __init__(self, prior: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood

    def forward(self, x: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.likelihood(z), obs=x)


class Guide(Program):
    r"""The point mass at the codebook's nearest vectors.

    Args:
        encoder: f, a network from x ``(batch, *event)`` to ``(batch, codes * width)``.
        codebook: that of the model's prior.
        commitment: :math:`\beta`.

    Call: ``guide(x)``; returns z ``(batch, codes * width)``.

    Raises ``ValueError`` for a negative ``commitment``.

    >>> from pyro_vae.networks import MLP
    >>> guide = Guide(MLP(64, 4 * 2), Codebook(size=16, width=2, codes=4))
    """

    def __init__(self, encoder: nn.Module, codebook: Codebook, commitment: float = 0.25) -> None:
        super().__init__()
        if not 0.0 <= commitment < float("inf"):
            raise ValueError(f"commitment is a number from 0 on, not {commitment!r}")
        self.encoder = encoder
        self.codebook = codebook
        self.commitment = commitment

    def forward(self, x: Tensor) -> Tensor:
        f = self.encoder(x)
        e = self.codebook(self.codebook.nearest(f))
        with pyro.plate("data", len(x)):
            if self.training:
                drawn = (f.detach() - e).square() + self.commitment * (f - e.detach()).square()
                taught("commitment", -drawn.sum(-1))
            # What is added is zero exactly, so that the value is the codebook's.
            through = e.detach() + (f - f.detach())
            return pyro.sample("z", dist.Delta(through, event_dim=1))
