"""What objectives have in common that add a penalty on the batch of z."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from pyro_vae.estimators.estimate import elbo_value
from pyro_vae.terms.counts import batch_size, check_scale
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL, analytic_sites
from pyro_vae.terms.latents import latent_site
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weight

from .argument_checks import check_mode
from .base import Objective


class RegularisedELBO(Objective):
    r"""The ELBO's parts, less a penalty on the values of one latent over the mini-batch.

    .. math:: \sum_i \Bigl(\mathbb E_{q(z|x_i)}[\log p(x_i|z)] - w\,\mathrm{KL}_i\Bigr)
        - N\,\mathrm{penalty}(z_1, \dots, z_B)

    The penalty is an expectation over the whole data set, estimated from the mini-batch; N is the
    number of examples that the sums stand for (B, times the scale of a subsampling plate). So the
    bound divided by N is the mean ELBO part less the penalty, whatever the size of the batch.
    With several particles the penalty is taken of each particle's batch, and then their mean.

    To add one: pass ``site`` on to this constructor, implement ``penalty``, and ``kl_weight``
    where the site's KL does not count once. Other latents count as in the ELBO.

    Raises :class:`~pyro_vae.terms.ProgramError` where there is no such site or several to choose
    from, where it has no value for each example, or where its gradient is not pathwise.
    """

    #: Examples that the penalty needs in a mini-batch.
    least = 2

    def __init__(
        self,
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(particles, vectorize)
        self.kl = check_mode(kl)
        self.site = site

    @abstractmethod
    def penalty(self, terms: Terms, site: SiteTerm) -> Tensor:
        """What is taken from the bound for each example: a scalar, already weighted."""

    def kl_weight(self) -> Weight:
        """How often the KL of the site counts; the number 0.0 for not at all."""
        return 1.0

    def bound(self, terms: Terms) -> Tensor:
        site = self.latent(terms)
        for each in terms.values():
            check_scale(each)
        # All samples are reparameterised (`latent_site`), so the value has the gradient.
        plain = elbo_value(terms, analytic_sites(terms, self.kl), {site.name: self.kl_weight()})
        return plain - site.scale_q * batch_size(terms) * self.penalty(terms, site).to(plain.dtype)

    def latent(self, terms: Terms) -> SiteTerm:
        """The site that the penalty is about."""
        name = type(self).__name__
        site = latent_site(terms, self.site, name)
        check_scale(site)
        if batch_size(terms) < self.least:
            raise ProgramError(
                f"{name} compares examples with one another, and this mini-batch has only "
                f"{batch_size(terms)}: choose a larger batch, or one that leaves no such rest"
            )
        return site
