"""What an objective is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro.infer import ELBO as PyroELBO
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_vae.programs.registration import register
from pyro_vae.schedules import Schedule, as_schedule
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL, analytic_sites, kl_term
from pyro_vae.terms.passes import Call, Program, run
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms


@dataclass(frozen=True)
class Split:
    r"""The plain ELBO and its two parts, each per example ``(batch,)``, nats.

    .. math:: \text{elbo} = \text{reconstruction} - \text{kl}

    Never weighted, annealed or scaled: what is reported is always the bound itself.
    """

    elbo: Tensor
    reconstruction: Tensor
    kl: Tensor


class Objective(PyroELBO, nn.Module):
    """A bound to be maximised, as a reduction of the term table.

    It is a ``pyro.infer.ELBO``: use it in stock ``pyro.infer.SVI``, in ``pyro_vae.fit``, or call
    ``objective.differentiable_loss(model, guide, x)`` yourself. As in Pyro, the loss is the
    *negative* bound, *summed* over the batch and scaled by subsampling plates.

    It is a ``torch.nn.Module`` too, for what changes while it trains: weights that follow a
    schedule and multipliers are buffers, a critic is a submodule. They move, are saved and are
    compiled as those of any module. To add one: a small class that implements ``bound(terms)``;
    ``self.add_weight("beta", beta)`` in its constructor makes ``self.beta``.

    Args:
        particles: samples of the guide for each example.
        vectorize: draw them in one pass (see :func:`site_terms`).

    Attributes:
        steps_per_epoch: what schedules in epochs go by; :func:`pyro_vae.fit` sets it.
        schedules: of each weight.
    """

    steps: Tensor

    #: How the KL is taken in what is reported, and in ``bound`` where the objective uses it.
    kl: KL = "auto"
    #: Whether ``bound`` is made of importance weights, in which no KL is taken in closed form.
    weighs_samples = False
    #: Whether a site may choose its estimator, ``infer={"estimator": ...}``.
    takes_estimators = False

    def __init__(self, particles: int = 1, vectorize: bool = True) -> None:
        if not isinstance(particles, int) or particles < 1:
            raise ValueError(f"particles is a whole number of at least 1, not {particles!r}")
        nn.Module.__init__(self)
        PyroELBO.__init__(self, num_particles=particles, vectorize_particles=vectorize)
        self.particles = particles
        self.vectorize = vectorize
        self.steps_per_epoch: int | None = None
        self.schedules: dict[str, Schedule] = {}
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def bound(self, terms: Terms) -> Tensor:
        """The bound, summed over the batch: a scalar whose gradient is the estimator's."""

    def terms(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
        """The term table with this objective's particles."""
        traces = run(model, guide, args, kwargs, self.particles, self.vectorize)
        if not self.takes_estimators:
            refuse_estimators(traces[0][1], type(self).__name__)
        return Terms(traces, self.particles, Call(model, guide, args, kwargs))

    def prepare(self, terms: Terms) -> None:
        """Make what depends on the programs, such as a critic of their latent; at the first use."""

    def add_weight(self, name: str, value: float | Schedule | Callable[[float], float]) -> None:
        """A weight that may follow a schedule: a buffer of no dimensions, which steps may read.

        A function is a schedule by steps. Raises ``ValueError`` for what is not finite.
        """
        schedule = as_schedule(value, f"{name} of {type(self).__name__}")
        # Double: without dimensions it does not decide the type of what it multiplies.
        start = torch.tensor(schedule(0), dtype=torch.float64)
        self.register_buffer(name, start)
        self.schedules[name] = schedule

    def weights(self) -> dict[str, float]:
        """The present value of each weight that follows a schedule."""
        moving = [name for name, schedule in self.schedules.items() if schedule.moves]
        return {name: float(getattr(self, name)) for name in moving}

    def closed(self, terms: Terms) -> set[str]:
        """Names of the latent sites whose KL this objective takes in closed form."""
        return set() if self.weighs_samples else analytic_sites(terms, self.kl)

    def labels(self, terms: Terms) -> dict[str, str]:
        """How the gradient of each of the guide's sites is estimated, where ``explain`` asks."""
        rows = terms.of_kind("latent", "auxiliary")
        return {s.name: "pathwise" if s.reparameterized else "score function" for s in rows}

    def notes(self) -> list[str]:
        """What one should know of this objective, in sentences that ``explain`` prints."""
        return []

    def warnings(self) -> list[str]:
        """What has gone wrong in the objective's own parts since it began, such as a critic."""
        return []

    def advance(self, step: int) -> None:
        """Set each weight to its value at this step, 0 for the first.

        Raises ``ValueError`` where a schedule is in epochs and ``steps_per_epoch`` is not set.
        """
        for name, schedule in self.schedules.items():
            if schedule.moves:
                getattr(self, name).fill_(schedule.at(step, self.steps_per_epoch))

    def begin_step(self) -> None:
        """Count a step, and set the weights to their values in it."""
        self.advance(int(self.steps))
        self.steps += 1

    def split(self, terms: Terms) -> Split:
        """The plain ELBO of these terms, with its parts."""
        return split(terms, self.kl)

    def differentiable_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The negative bound, summed over the batch, for ``backward``."""
        terms = self.terms(model, guide, *args, **kwargs)
        self.prepare(terms)
        register(self)
        return -self.bound(terms)

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """The negative bound, summed over the batch."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """A step's loss for stock SVI: schedules go on by one, ``.grad`` is added to."""
        self.begin_step()
        return self.gradients(model, guide, *args, **kwargs)

    def gradients(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """The negative bound, summed over the batch, after adding its gradients to ``.grad``."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return loss.item()

    def _get_trace(self, model: Program, guide: Program, args: Any, kwargs: Any) -> Any:
        # Pyro's helpers (`_get_traces`) ask for it; ours go through the term table.
        return self.terms(model, guide, *args, **kwargs).traces[0]


def refuse_estimators(guide: Trace, objective: str) -> None:
    """:class:`ProgramError` where a site asks for another gradient estimator than it gets.

    One that a site chooses and nobody heeds would be a silent mistake.
    """
    sites: dict[str, Any] = guide.nodes
    for name, site in sites.items():
        if site["type"] != "sample" or "estimator" not in site["infer"]:
            continue
        wanted = getattr(site["infer"]["estimator"], "name", site["infer"]["estimator"])
        given = "pathwise" if site["fn"].has_rsample else "score"
        if wanted != given:
            raise ProgramError(
                f"site {name!r} asks for estimator {wanted!r}, and {objective} has {given!r} "
                "there: leave it out, or use ELBO"
            )


def split(terms: Terms, kl: KL = "auto", examples: int | None = None) -> Split:
    """The plain ELBO of a term table per example, averaged over particles, with its parts.

    A site that all examples share, outside the data plate, is shared out among them: each of the
    N examples bears an Nth, so that the mean over examples is the bound of the data set over N.
    N is ``examples``, or else the size of the data plate.
    """
    analytic = analytic_sites(terms, kl)
    zero, part = torch.zeros(()), share(terms, examples)

    def rows(site: SiteTerm, term: Tensor | None) -> Tensor:
        assert term is not None
        return term.detach().mean(0) * (1.0 if site.per_example else part)

    reconstruction = sum((rows(s, s.log_p) for s in terms.of_kind("observed")), zero)
    divergence = sum(
        (rows(s, kl_term(s, s.name in analytic)) for s in terms.of_kind("latent", "auxiliary")),
        zero,
    )
    reconstruction, divergence = torch.broadcast_tensors(reconstruction, divergence)
    return Split(reconstruction - divergence, reconstruction, divergence)


def share(terms: Terms, examples: int | None = None) -> float:
    """The part that one example bears of a site that all share: one in the data plate's size."""
    for site in terms.of_kind("observed"):
        for frame in site.site["cond_indep_stack"]:
            if frame.name == terms.data_plate and examples is None:
                examples = int(frame.full_size or frame.size)
    return 1.0 / (examples or 1)
