r"""Data with missing entries: the likelihood is that of the known ones alone.

.. math::
    p(x_{\mathrm{obs}}, z) = p(z) \prod_{i\,:\,s_i = 1} p(x_i|z) \qquad q(z|x_{\mathrm{obs}})

::

    z ──► x ◄╌╌ s      x_obs ──► z
    model              guide

The mask s is 1 where an entry of x is known. The missing entries are integrated out, which, for
entries that are independent given z, means: left out. That is right where they are missing at
random; where an entry's own value decides, see :mod:`pyro_vae.programs.not_at_random`.

Under :class:`pyro_vae.objectives.ImportanceWeightedELBO` these programs train on the bound that
Mattei and Frellsen call MIWAE. (:class:`pyro_vae.objectives.MIWAE` is another thing of that name:
Rainforth's *multiply* importance-weighted bound, which has nothing to do with missing data.)
:func:`pyro_vae.evaluation.impute` fills in what is missing.

Mattei and Frellsen 2019, *MIWAE: Deep Generative Modelling and Imputation of Incomplete Data
Sets*.
"""

from __future__ import annotations

from typing import Any

import pyro
import torch
from torch import Tensor, nn

from .registration import Program


class Model(Program):
    r"""p(x_obs, z) = p(z) p(x_obs|z).

    Args:
        prior: ``prior() -> p(z)``.
        likelihood: ``likelihood(z, mask=mask) -> p(x|z)``, any of ours; ``Mixed`` for tables.

    Call: ``model(x)`` where missing entries are nan, or ``model(x, mask)`` with a boolean mask of
    the shape of x, ``True`` where an entry is known (and not nan). Returns x, observed with the
    missing entries set to 0, or sampled whole under ``poutine.uncondition``. A row of which nothing
    is known is one of log-likelihood 0: it teaches the model nothing, and harms no other row.

    Raises ``TypeError`` for a mask that is not boolean, ``ValueError`` for one of another shape.

    >>> from pyro_vae.likelihoods import StudentT
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import StandardNormal
    >>> model = Model(StandardNormal(2), StudentT(MLP(2, 3)))
    >>> model(torch.tensor([[1.0, float("nan"), 3.0]]))
    tensor([[1., 0., 3.]])
    """

    def __init__(self, prior: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x, mask = known(x, mask)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            p = self.likelihood(z, mask=mask)
            return pyro.sample("x", p, obs=supported(x, mask, p))


class Guide(Program):
    """q(z|x_obs): the encoder sees 0 in place of what is missing.

    Args:
        posterior: ``posterior(x) -> q(z|x)``.
        append_mask: show it the mask too, behind x along the first event dimension (its network
            then takes twice as many numbers), so that it can tell a missing entry from a 0.

    Call: as :class:`Model`. Returns z ``(batch, latent)``.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> guide = Guide(DiagonalNormal(MLP(2 * 3, 2 * 2)), append_mask=True)
    >>> guide(torch.tensor([[1.0, float("nan"), 3.0]])).shape
    torch.Size([1, 2])
    """

    def __init__(self, posterior: nn.Module, append_mask: bool = False) -> None:
        super().__init__()
        self.posterior = posterior
        self.append_mask = append_mask

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x, mask = known(x, mask)
        seen = torch.cat([x, mask.to(x)], dim=1) if self.append_mask else x
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.posterior(seen))


def known(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """x with 0 for what is missing, and the mask of what is known: ``True`` there.

    Missing is what is nan, and what the mask, where there is one, calls so.

    Raises ``TypeError`` for a mask that is not boolean, ``ValueError`` for one of another shape.

    >>> known(torch.tensor([1.0, float("nan"), 3.0]), torch.tensor([True, True, False]))
    (tensor([1., 0., 0.]), tensor([ True, False, False]))
    """
    there = ~x.isnan()
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"a mask is boolean, True where x is known, not {mask.dtype}")
        if mask.shape != x.shape:
            raise ValueError(
                f"a mask has the shape of the data, {tuple(x.shape)}, not {tuple(mask.shape)}"
            )
        there = there & mask
    return torch.where(there, x, torch.zeros_like(x)), there


def supported(x: Tensor, mask: Tensor, p: Any) -> Tensor:
    """x with a missing entry's 0 made 1/2 where p is a density of the open unit interval."""
    while hasattr(p, "reinterpreted_batch_ndims"):
        p = p.base_dist
    inside = p.support.check(torch.zeros_like(x))
    if inside.shape[inside.dim() - x.dim() :] != x.shape:  # that of whole events
        return x
    return torch.where(mask | inside, x, torch.full_like(x, 0.5))
