"""The likelihood of counts that vary more than chance."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from ._negative_binomial import NegativeBinomial as NegativeBinomialDistribution
from .base import Likelihood, as_event, widened
from .rates import expected_counts
from .scale import Spread, hold, log_scale, predicted, with_scale


class NegativeBinomial(Likelihood):
    r"""Independent negative binomial counts: Poisson with a rate that varies.

    .. math::
        p(x|z) = \prod_i \frac{\Gamma(r_i + x_i)}{\Gamma(r_i)\, x_i!}
        \Bigl(\frac{m_i}{r_i + m_i}\Bigr)^{x_i} \Bigl(\frac{r_i}{r_i + m_i}\Bigr)^{r_i},
        \qquad m = e^{f(z)}

    Mean m, variance :math:`m + m^2/r`; Poisson as :math:`r\to\infty`. Given the total of each
    example (``forward(z, library=l)``, the library size of a cell), the network says how it is
    shared out: :math:`m = l\,\mathrm{softmax}(f(z))`.

    Lopez, Regier, Cole, Jordan and Yosef 2018, *Deep generative modeling for single-cell
    transcriptomics*.

    Args:
        network: maps z ``(*batch, latent)`` to logarithms of means ``(*batch, *event)``, and with
            ``"per-pixel"`` to two numbers an entry (see ``outputs``).
        dispersion: the r. A number fixes it; ``"per-dimension"`` learns one for each number in x
            (each gene; the network must say its shape in ``outputs``); ``"shared"`` learns one
            for all of x; ``"per-pixel"`` has the network predict each from z.
        initial: where a learned dispersion starts.

    Raises ``ValueError`` for a dispersion that is not positive, or not one of these.

    >>> import torch
    >>> p = NegativeBinomial(nn.Linear(2, 5), dispersion="shared")(torch.zeros(7, 2))
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
        logarithm = log_scale(network, dispersion, initial, name="dispersion")
        hold(self, "log_dispersion", logarithm)

    @staticmethod
    def outputs(
        shape: tuple[int, ...], *, dispersion: object = "per-dimension", **_: Any
    ) -> tuple[int, ...]:
        return widened(shape, 1 + predicted(dispersion))

    def forward(
        self, z: Tensor, mask: Tensor | None = None, library: Tensor | None = None
    ) -> dist.TorchDistribution:
        """p(x|z, l); ``library`` is the total of each example, ``(*batch,)``."""
        raw, r = with_scale(self.network(z), z, self.log_dispersion, self.dispersion)
        mean = expected_counts(raw, z, library)
        return as_event(NegativeBinomialDistribution(mean, r), z, mask)
