"""The ELBO with the KL partly replaced by a divergence of the aggregate posterior."""

from __future__ import annotations

from torch import Tensor

from pyro_vae.schedules import Schedule
from pyro_vae.terms.kl import KL
from pyro_vae.terms.latents import posterior_draws, prior_draws
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weight

from .kernels import RBF, Kernel
from .mmd import mmd
from .regularised import RegularisedELBO


class InfoELBO(RegularisedELBO):
    r"""InfoVAE: less weight on the KL, more on a divergence of the aggregate posterior.

    .. math:: \mathbb E_{q(z|x)}[\log p(x|z)]
        - (1 - \alpha)\, \mathrm{KL}(q(z|x) \,\|\, p(z))
        - (\alpha + \lambda - 1)\, \mathrm{MMD}^2(q(z), p(z))

    The aggregate q(z) is seen through the z of the mini-batch, and p(z) through as many draws of
    the model's own prior. The estimate is unbiased (and so may be negative). With
    :math:`\alpha = 0, \lambda = 1` it is the ELBO, with :math:`\alpha = 1` the MMD-VAE, where no KL
    is left.

    Zhao, Song and Ermon 2019, *InfoVAE: Balancing Learning and Inference in Variational
    Autoencoders*.

    Args:
        alpha: how much mutual information between x and z is wanted, at most 1, or a schedule.
        scale: :math:`\lambda`, or a schedule; alpha + scale must be at least 1.
        kernel: ``None`` for ``RBF()``.
        site: the latent, where there are several.
        kl, particles, vectorize: see :class:`ELBO`.

    Raises ``ValueError`` for weights out of range (of schedules: at their start).

    >>> import pyro, torch, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(0.0, 0.01))          # a posterior that collapsed
    >>> _ = torch.manual_seed(0)
    >>> x = torch.randn(100)
    >>> InfoELBO(1.0, 50.0).loss(model, guide, x) > InfoELBO(1.0, 0.0).loss(model, guide, x) + 500
    True
    """

    alpha: Tensor
    scale: Tensor

    def __init__(
        self,
        alpha: float | Schedule = 0.0,
        scale: float | Schedule = 10.0,
        kernel: Kernel | None = None,
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(site, kl, particles, vectorize)
        self.kernel = RBF() if kernel is None else kernel
        self.add_weight("alpha", alpha)
        self.add_weight("scale", scale)
        if not float(self.alpha) <= 1.0:
            raise ValueError(f"alpha must be at most 1, not {float(self.alpha):g}")
        if float(self.alpha + self.scale) < 1.0:
            raise ValueError(
                "alpha + scale must be at least 1, or the divergence is rewarded, not "
                f"{float(self.alpha + self.scale):g}"
            )

    def kl_weight(self) -> Weight:
        return 1.0 - self.alpha

    def penalty(self, terms: Terms, site: SiteTerm) -> Tensor:
        distance = mmd(posterior_draws(terms, site), prior_draws(terms, site), self.kernel).mean()
        return (self.alpha + self.scale - 1.0).to(distance.dtype) * distance
