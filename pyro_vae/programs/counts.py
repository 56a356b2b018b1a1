r"""Counts, such as of transcripts in a cell, given how many there are in all.

.. math:: p(x, z|l) = p(z)\, p(x|z, l) \qquad q(z|x)

::

    z ──► x ◄── l      x ──► z
    model              guide

The library size l, a cell's total, is for the most part how much was read, not what the cell is:
the likelihood takes it as given (m = l softmax(f(z))), and z is left with the shares.

Lopez, Regier, Cole, Jordan and Yosef 2018, *Deep generative modeling for single-cell
transcriptomics*; there l may be a latent too.
"""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from .registration import Program


class Model(Program):
    """p(x, z|l) = p(z) p(x|z, l).

    Args:
        prior: ``prior() -> p(z)``.
        likelihood: ``likelihood(z, library=l) -> p(x|z, l)``: ``Poisson``, ``NegativeBinomial``
            or ``ZeroInflatedNegativeBinomial``.

    Call: ``model(x)`` with counts x ``(batch, *event)``, whose totals are then the library sizes,
    or ``model(x, library)`` with totals ``(batch,)`` of one's own (of all genes, say, where x has
    some). Returns x.

    >>> import torch
    >>> from pyro_vae.likelihoods import NegativeBinomial
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import StandardNormal
    >>> model = Model(StandardNormal(2), NegativeBinomial(MLP(2, 3)))
    >>> model(torch.tensor([[4.0, 0.0, 1.0]]))
    tensor([[4., 0., 1.]])
    """

    def __init__(self, prior: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood

    def forward(self, x: Tensor, library: Tensor | None = None) -> Tensor:
        library = x.flatten(1).sum(-1) if library is None else library
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            # No total is below 0: bad counts are told where they are observed.
            return pyro.sample("x", self.likelihood(z, library=library.clamp(min=0)), obs=x)


class Guide(Program):
    """q(z|x), which sees log(1 + x): counts of 1 and of 1,000 on one scale.

    Args:
        posterior: ``posterior(x) -> q(z|x)``.

    Call: as :class:`Model`; returns z ``(batch, latent)``.

    >>> import torch
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> Guide(DiagonalNormal(MLP(3, 2 * 2)))(torch.tensor([[4.0, 0.0, 1.0]])).shape
    torch.Size([1, 2])
    """

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, x: Tensor, library: Tensor | None = None) -> Tensor:
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.posterior(x.clamp(min=0).log1p()))
