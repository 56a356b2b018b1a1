"""Bounds between the ELBO and the importance-weighted one, for guides that starve under the last.

Source of all three: Rainforth, Kosiorek, Le, Maddison, Igl, Wood and Teh 2018, *Tighter Variational
Bounds are Not Necessarily Better*.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pyro_vae.schedules import Schedule
from pyro_vae.terms.log_weights import estimate, halves, log_mean_exp, summed, with_gradient
from pyro_vae.terms.table import Terms

from .base import Objective


class MIWAE(Objective):
    r"""The mean of several importance-weighted bounds,

    .. math:: \frac1M \sum_{m=1}^M \log \frac1K \sum_{k=1}^K w_{mk},

    with M the ``outer`` and K the ``inner`` number of particles: as tight as K particles, with the
    variance of its gradient divided by M. Nats.

    Args:
        outer: M.
        inner: K.
        vectorize: draw the M K particles in one pass.

    Raises :class:`~pyro_vae.terms.ProgramError` where a latent lies outside the data plate.

    Source: Rainforth et al. 2018, *Tighter Variational Bounds are Not Necessarily Better*.

    >>> MIWAE(outer=4, inner=8).particles
    32
    """

    weighs_samples = True

    def __init__(self, outer: int = 8, inner: int = 8, vectorize: bool = True) -> None:
        for name, value in (("outer", outer), ("inner", inner)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
        super().__init__(outer * inner, vectorize)
        self.outer, self.inner = outer, inner

    def bound(self, terms: Terms) -> Tensor:
        return summed(terms, estimate(terms, self.mean_of_bounds))

    def mean_of_bounds(self, log_weights: Tensor) -> Tensor:
        """From ``(outer * inner, *batch)`` log weights to ``(*batch,)``."""
        groups = log_weights.unflatten(0, (self.outer, self.inner))
        return log_mean_exp(groups.transpose(0, 1)).mean(0)


class PIWAE(MIWAE):
    r"""The tightest bound for the model, and a looser one with a clearer gradient for the guide.

    Theta follows the importance-weighted bound of all M K particles, which is also the value; phi
    follows :class:`MIWAE` on the same particles. Nats.

    Args:
        outer: M.
        inner: K.
        vectorize: draw the M K particles in one pass.

    Raises :class:`~pyro_vae.terms.ProgramError` where a latent lies outside the data plate.

    Source: Rainforth et al. 2018, *Tighter Variational Bounds are Not Necessarily Better*.

    >>> PIWAE(outer=4, inner=8).particles
    32
    """

    def bound(self, terms: Terms) -> Tensor:
        theta, phi = halves(terms)
        tight, loose = log_mean_exp(theta), estimate(terms, self.mean_of_bounds, phi)
        return summed(terms, with_gradient(tight, tight + loose))


class CIWAE(Objective):
    r"""The ELBO and the importance-weighted bound of the same particles, mixed,

    .. math:: \beta\, \mathrm{ELBO} + (1 - \beta)\, \log \frac1K \sum_k w_k.

    Nats.

    Args:
        beta: the ELBO's part, from 0 to 1, a number or a schedule.
        particles: K.
        vectorize: draw them in one pass.

    Raises ``ValueError`` where beta starts outside [0, 1], and
    :class:`~pyro_vae.terms.ProgramError` where a latent lies outside the data plate.

    Source: Rainforth et al. 2018, *Tighter Variational Bounds are Not Necessarily Better*.

    >>> from pyro_vae.schedules import Linear
    >>> CIWAE(beta=Linear(1000, start=1.0, stop=0.05), particles=10).weights()
    {'beta': 1.0}
    """

    beta: Tensor

    weighs_samples = True

    def __init__(
        self,
        beta: float | Schedule | Callable[[float], float] = 0.5,
        particles: int = 5,
        vectorize: bool = True,
    ) -> None:
        super().__init__(particles, vectorize)
        self.add_weight("beta", beta)
        if not 0.0 <= float(self.beta) <= 1.0:
            raise ValueError(f"beta is a part, from 0 to 1, not {float(self.beta):g}")

    def bound(self, terms: Terms) -> Tensor:
        return summed(terms, estimate(terms, self.mixture))

    def mixture(self, log_weights: Tensor) -> Tensor:
        """From ``(particles, *batch)`` log weights to ``(*batch,)``."""
        return self.beta * log_weights.mean(0) + (1.0 - self.beta) * log_mean_exp(log_weights)
