"""The likelihood of counts with more zeros than their spread explains."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from ._negative_binomial import NegativeBinomial
from ._negative_binomial import ZeroInflatedNegativeBinomial as ZeroInflated
from .base import Likelihood, as_event, widened
from .rates import expected_counts
from .scale import Spread, hold, log_scale, predicted, with_scale


class ZeroInflatedNegativeBinomial(Likelihood):
    r"""Independent negative binomial counts, some of which were lost and read 0.

    .. math::
        p(x|z) = \prod_i \bigl[g_i\, 1\{x_i = 0\} + (1 - g_i)\, \mathrm{NB}(x_i; m_i, r_i)\bigr],
        \qquad m = e^{f(z)},\; g = \mathrm{sigmoid}(h(z))

    with the negative binomial of ``NegativeBinomial``. Given the total of each example
    (``forward(z, library=l)``, the library size of a cell), :math:`m = l\,\mathrm{softmax}(f(z))`.

    Lopez, Regier, Cole, Jordan and Yosef 2018, *Deep generative modeling for single-cell
    transcriptomics*.

    Args:
        network: maps z ``(*batch, latent)`` to two numbers an entry (see ``outputs``), the
            logarithm of the mean and the logit of the loss g, and a third with ``"per-pixel"``.
        dispersion: the r. A number fixes it; ``"per-dimension"`` learns one for each number in x
            (each gene; the network must say its shape in ``outputs``); ``"shared"`` learns one
            for all of x; ``"per-pixel"`` has the network predict each from z.
        initial: where a learned dispersion starts.

    Raises ``ValueError`` for a dispersion that is not positive, or not one of these.

    >>> import torch
    >>> likelihood = ZeroInflatedNegativeBinomial(nn.Linear(2, 5 * 2), dispersion="shared")
    >>> p = likelihood(torch.zeros(7, 2))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([5]))
    """

    values = "counts"
    log_dispersion: Tensor

    def __init__(
        self, network: nn.Module, dispersion: Spread = "per-dimension", initial: float = 1.0
    ) -> None:
        super().__init__()
        self.network = network
        self.dispersion = dispersion
        logarithm = log_scale(network, dispersion, initial, count=2, name="dispersion")
        hold(self, "log_dispersion", logarithm)

    @staticmethod
    def outputs(
        shape: tuple[int, ...], *, dispersion: object = "per-dimension", **_: Any
    ) -> tuple[int, ...]:
        return widened(shape, 2 + predicted(dispersion))

    def forward(
        self, z: Tensor, mask: Tensor | None = None, library: Tensor | None = None
    ) -> dist.TorchDistribution:
        """p(x|z, l); ``library`` is the total of each example, ``(*batch,)``."""
        output, spread = self.network(z), self.dispersion
        raw, loss, r = with_scale(output, z, self.log_dispersion, spread, count=2)
        counts = NegativeBinomial(expected_counts(raw, z, library), r)
        return as_event(ZeroInflated(counts, gate_logits=loss), z, mask)
