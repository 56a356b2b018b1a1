"""The least KL with which reconstruction is good enough."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyro_vae.estimators.base import Estimator
from pyro_vae.schedules import Schedule
from pyro_vae.terms.counts import counted
from pyro_vae.terms.kl import KL
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import each

from .argument_checks import check_positive
from .weighted import WeightedELBO


class GECO(WeightedELBO):
    r"""The least KL under a constraint on reconstruction, by a multiplier that finds itself.

    .. math:: \min \mathrm{KL}(q(z|x) \,\|\, p(z)) \quad\text{where}\quad
        \mathbb E_x \mathbb E_{q(z|x)}[\log p(x|z)] \ge -\tau

    What is maximised is :math:`\lambda\,(\mathbb E[\log p(x|z)] + \tau) - \mathrm{KL}`. After each
    step the multiplier grows while the constraint is violated, and shrinks while it holds:

    .. math:: \lambda \leftarrow \lambda\, e^{\rho c}, \qquad
        c = \text{moving average of } -\tau - \log p(x|z),

    with c cut to [-1, 1] nats, so that a violation of hundreds of nats early in training moves it
    by :math:`e^{\rho}` a step at most. So one says what reconstruction is worth having, in nats
    per example, instead of beta; :math:`1/\lambda` is the beta that it comes to.

    Rezende and Viola 2018, *Taming VAEs*.

    Args:
        tolerance: :math:`\tau`: the reconstruction error -log p(x|z) that is good enough, nats
            per example (negative for densities that are high), or a schedule.
        rate: :math:`\rho`, how fast the multiplier moves.
        decay: of the moving average, in [0, 1).
        multiplier: :math:`\lambda` at the start.
        kl, particles, vectorize, estimator: see :class:`ELBO`.

    The multiplier and the moving average change where gradients are on, once for each call of
    ``bound``, and are part of ``state_dict()``. They go on moving where a learning rate has fallen
    to zero: let it stay up, ``fit(..., schedule="constant")``, where the tolerance is to be met.

    Raises ``ValueError`` for a number out of its range.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     shift = pyro.param("geco.shift", torch.tensor(0.0))
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(shift, 0.1))
    >>> objective = GECO(tolerance=1.0, rate=0.01)
    >>> loss = objective.loss_and_grads(model, guide, torch.tensor([5.0]))    # far off
    >>> round(objective.weights()["multiplier"], 4)
    1.0101
    """

    tolerance: Tensor
    multiplier: Tensor
    violation: Tensor
    seen: Tensor

    def __init__(
        self,
        tolerance: float | Schedule,
        rate: float = 0.01,
        decay: float = 0.99,
        multiplier: float = 1.0,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
        estimator: str | Estimator | Mapping[str, str | Estimator] | None = None,
    ) -> None:
        super().__init__(kl, particles, vectorize, estimator)
        check_positive("rate", rate)
        check_positive("multiplier", multiplier)
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay must be in [0, 1), not {decay!r}")
        self.rate, self.decay = rate, decay
        self.add_weight("tolerance", tolerance)
        double = torch.float64
        self.register_buffer("multiplier", torch.tensor(multiplier, dtype=double))
        # The moving average is violation / seen: without `seen` it would start near 0.
        self.register_buffer("violation", torch.zeros((), dtype=double))
        self.register_buffer("seen", torch.zeros((), dtype=double))

    def weights(self) -> dict[str, float]:
        """The multiplier, and the tolerance where it follows a schedule."""
        return {**super().weights(), "multiplier": float(self.multiplier)}

    def bound(self, terms: Terms) -> Tensor:
        examples = counted(terms)
        multiplier = self.multiplier.clone()  # what autograd keeps must not change below
        plain = self.weighted(terms, each(terms, observed=multiplier))
        if torch.is_grad_enabled():
            self._follow(_reconstruction(terms) / examples)
        return plain + (multiplier * self.tolerance * examples).to(plain.dtype)

    def _follow(self, reconstruction: Tensor) -> None:
        """Let the multiplier follow the constraint."""
        with torch.no_grad():
            self.violation.lerp_((-self.tolerance - reconstruction).to(self.violation), self._new)
            self.seen.lerp_(torch.ones_like(self.seen), self._new)
            average = (self.violation / self.seen).clamp(-1.0, 1.0)
            self.multiplier.mul_(torch.exp(self.rate * average)).clamp_(1e-6, 1e6)

    @property
    def _new(self) -> float:
        return 1.0 - self.decay


def _reconstruction(terms: Terms) -> Tensor:
    """log p of what is observed, summed over the batch and scaled; no gradient."""
    total: Tensor | float = 0.0
    for site in terms.of_kind("observed"):
        if site.log_p is not None:
            total = total + site.scale_p * site.log_p.detach().sum() / terms.particles
    return torch.as_tensor(total)
