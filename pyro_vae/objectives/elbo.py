"""The evidence lower bound."""

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
from pyro_vae.terms.kl import KL, MODES
from pyro_vae.terms.passes import Call, Program, run
from pyro_vae.terms.table import Terms

from .base import Objective


class ELBO(Objective):
    r"""The evidence lower bound,

    .. math:: \log p(x) \ge \mathbb E_{q(z|x)}[\log p(x|z)] - \mathrm{KL}(q(z|x) \,\|\, p(z)).

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.

    Args:
        kl: ``"analytic"`` takes each KL in closed form and raises
            :class:`~pyro_vae.terms.ProgramError` naming the site that has none;
            ``"sampled"`` estimates it by log q - log p; ``"auto"`` takes the closed form where
            there is a valid one (``explain`` says where).
        particles: samples of the guide for each example.
        vectorize: draw them in one pass.
        estimator: how gradients go through the guide's samples: a name or an object for all
            sites, or a mapping from sites; a site's own ``infer={"estimator": ...}`` comes first.
            By default ``"pathwise"`` where the site is reparameterised and ``"score"`` elsewhere.
            Others are ``"stl"``, ``"running-mean"``, ``"learned"``, ``"leave-one-out"``,
            ``"enumerate"``, and the biased ``"gumbel-softmax"`` and ``"straight-through"``. The
            value of the bound is the same with each. One that is not legal at a site raises
            :class:`~pyro_vae.terms.ProgramError` naming it. Where it is ``"stl"`` or a score
            function's, the site's KL is sampled; where it is relaxed, taken in closed form.

    Equal, in value and every gradient, to Pyro's ``Trace_ELBO`` (``"sampled"``) and
    ``TraceMeanField_ELBO`` (``"analytic"``) at the same random numbers, and with ``"enumerate"``
    to ``TraceEnum_ELBO``.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))   # the exact posterior
    >>> x = torch.tensor([0.0, 2.0])
    >>> round(ELBO(kl="sampled").loss(model, guide, x), 4)       # so the bound is log p(x)
    3.531
    """

    takes_estimators = True

    def __init__(
        self,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
        estimator: str | Estimator | Mapping[str, str | Estimator] | None = None,
    ) -> None:
        if kl not in MODES:
            raise ValueError(f"kl is one of {', '.join(map(repr, MODES))}, not {kl!r}")
        super().__init__(particles, vectorize)
        self.kl = kl
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

    def bound(self, terms: Terms) -> Tensor:
        self.prepare(terms)
        chosen = self.choice.of(terms)
        closed = closed_sites(terms, chosen, self.kl)
        if not torch.is_grad_enabled():
            return elbo_value(terms, closed)
        baseline = self.baselines.of(terms, chosen)
        if not any(type(estimator) is GumbelSoftmax for estimator in chosen.values()):
            return elbo_estimate(terms, closed, chosen, baseline)
        relaxed = elbo_estimate(self._drawn(terms.call, relaxed=True), closed, chosen, baseline)
        return elbo_value(terms, closed).detach() + (relaxed - relaxed.detach())

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
