"""Reconstruction, with the aggregate posterior held to the prior."""

from __future__ import annotations

from torch import Tensor

from pyro_vae.schedules import Schedule
from pyro_vae.terms.kl import KL
from pyro_vae.terms.latents import posterior_draws, prior_draws
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weight

from .argument_checks import check_not_negative
from .kernels import InverseMultiquadratic, Kernel
from .mmd import mmd
from .regularised import RegularisedELBO


class WassersteinELBO(RegularisedELBO):
    r"""The Wasserstein autoencoder with the MMD penalty.

    .. math:: \mathbb E_{q(z|x)}[\log p(x|z)] - \lambda\, \mathrm{MMD}^2(q(z), p(z))

    The paper's cost c(x, G(z)) is -log p(x|z), up to a constant: the squared distance for a
    normal likelihood of fixed scale. No KL is taken of this latent, so that q(z|x) may be narrow,
    or a point (``Delta``). It is no bound on log p(x); what is reported beside it is the ELBO.

    Tolstikhin, Bousquet, Gelly and Schölkopf 2018, *Wasserstein Auto-Encoders*.

    Args:
        scale: :math:`\lambda`, at least 0, or a schedule.
        kernel: ``None`` for ``InverseMultiquadratic()``, the paper's.
        site: the latent, where there are several.
        kl: of the other latents and of what is reported, see :class:`ELBO`.
        particles, vectorize: see :class:`ELBO`.

    Raises ``ValueError`` for a weight below 0 (of a schedule: at its start).

    >>> import pyro, torch, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Delta(x))                   # an autoencoder
    >>> x = torch.zeros(4)
    >>> round(WassersteinELBO(0.0).loss(model, guide, x), 4)      # -4 log p(x|z)
    3.6758
    """

    scale: Tensor

    def __init__(
        self,
        scale: float | Schedule = 10.0,
        kernel: Kernel | None = None,
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(site, kl, particles, vectorize)
        self.kernel = InverseMultiquadratic() if kernel is None else kernel
        self.add_weight("scale", scale)
        check_not_negative("scale", self.scale)

    def kl_weight(self) -> Weight:
        return 0.0

    def penalty(self, terms: Terms, site: SiteTerm) -> Tensor:
        distance = mmd(posterior_draws(terms, site), prior_draws(terms, site), self.kernel).mean()
        return self.scale.to(distance.dtype) * distance
