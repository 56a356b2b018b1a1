"""The ELBO with a weight on each site, and the gradient that each site's estimator gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_vae.estimators.base import Estimator, Score
from pyro_vae.estimators.choice import Choice
from pyro_vae.estimators.discrete import GumbelSoftmax
from pyro_vae.estimators.enumeration import EnumeratedTerms
from pyro_vae.estimators.estimate import closed_sites, elbo_estimate, elbo_value
from pyro_vae.estimators.sampling import Drawing, Unplaced, draw, in_one_line
from pyro_vae.estimators.site_baselines import Baselines
from pyro_vae.schedules import as_schedule
from pyro_vae.terms.counts import check_scale
from pyro_vae.terms.kl import KL
from pyro_vae.terms.passes import Call, Program, run
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weights

from .argument_checks import check_mode
from .base import Objective


class WeightedELBO(Objective):
    r"""The ELBO with a weight on each site: what the objectives have in common that are one.

    .. math:: \sum_{\text{observed}} w_s \log p_s
        - \sum_{\text{latent, auxiliary}} w_s \mathrm{KL}_s

    A weight stands once, before the KL, whether that is taken in closed form or sampled, and in the
    score function's cost where a site needs it: each estimator follows the bound that is reported.

    To add one: return ``self.weighted(terms, weights)`` from ``bound``, and what comes beside it.

    Args:
        kl, particles, vectorize, estimator: see :class:`ELBO`.
    """

    takes_estimators = True

    def __init__(
        self,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
        estimator: str | Estimator | Mapping[str, str | Estimator] | None = None,
    ) -> None:
        super().__init__(particles, vectorize)
        self.kl = check_mode(kl)
        self.estimator = estimator
        self.choice = Choice(estimator, particles)
        self.baselines = Baselines()
        self._enumerates = False
        self._notes: list[str] = []
        if isinstance(self.choice.everywhere, GumbelSoftmax):
            self.add_weight("temperature", self.choice.everywhere.temperature)

    def terms(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
        """The term table, each site drawn as its estimator needs it."""
        call = Call(model, guide, args, kwargs)
        if not self._enumerates:
            try:
                with in_one_line(), Drawing(self.choice, self._temperature):
                    traces = run(*call, self.particles, self.vectorize)
                return Terms(traces, self.particles, call)
            except Unplaced:
                self._enumerates = True
        return self._drawn(call)

    def prepare(self, terms: Terms) -> None:
        """Make the baselines that learn."""
        chosen = self.choice.of(terms)
        self.baselines.prepare(terms, chosen)
        notes = self.choice.notes(terms)
        if notes != self._notes:
            self._notes = notes

    def weighted(self, terms: Terms, weights: Weights) -> Tensor:
        """The weighted ELBO, summed over the batch: a scalar with the estimators' gradient.

        Sites that are not named in ``weights`` count once. Raises
        :class:`~pyro_vae.terms.ProgramError` where there are weights and the model and the guide
        scale a latent differently: its KL has no one weight.
        """
        for site in terms.values() if weights else ():
            check_scale(site)
        self.prepare(terms)
        chosen = self.choice.of(terms)
        closed = closed_sites(terms, chosen, self.kl)
        if not torch.is_grad_enabled():
            return elbo_value(terms, closed, weights)
        baseline = self.baselines.of(terms, chosen)
        if not any(type(estimator) is GumbelSoftmax for estimator in chosen.values()):
            return elbo_estimate(terms, closed, chosen, baseline, weights)
        drawn = self._drawn(terms.call, relaxed=True)
        relaxed = elbo_estimate(drawn, closed, chosen, baseline, weights)
        return elbo_value(terms, closed, weights).detach() + (relaxed - relaxed.detach())

    def closed(self, terms: Terms) -> set[str]:
        return closed_sites(terms, self.choice.of(terms), self.kl)

    def labels(self, terms: Terms) -> dict[str, str]:
        chosen = self.choice.of(terms)
        return {
            name: "score function" if type(estimator) is Score else estimator.name
            for name, estimator in chosen.items()
        }

    def notes(self) -> list[str]:
        """Which estimator each site of the programs met has, where it is not the default."""
        return self._notes

    def _drawn(self, call: Call, relaxed: bool = False) -> Terms:
        def drawing(dim: int) -> Drawing:
            return Drawing(self.choice, self._temperature, dim, relaxed)

        traces = draw(call, self.particles, self.vectorize, drawing, checked=not relaxed)
        return EnumeratedTerms(traces, self.particles, call)

    def _temperature(self, name: str, estimator: GumbelSoftmax) -> float | Tensor:
        weight = "temperature"
        if estimator is not self.choice.everywhere:
            schedule = as_schedule(estimator.temperature, weight)
            if not schedule.moves:
                return schedule(0)
            weight = f"temperature_{name.replace('.', '_')}"
            if weight not in self.schedules:
                self.add_weight(weight, schedule)
        value: Tensor = getattr(self, weight)
        return value
