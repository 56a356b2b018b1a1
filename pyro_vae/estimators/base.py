"""How the gradient of a bound goes through one site of the guide: the choices, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from pyro_vae.terms.kl import family

#: What is legal at nearly every site.
SCORED = "'score', 'running-mean', 'learned' or 'leave-one-out'"


class Estimator:
    """How the gradient of the bound is estimated at a site of the guide.

    To add one: a frozen dataclass with a ``name``, and an ``obstacle`` where it is not legal
    everywhere.

    Attributes:
        name: what one writes in ``infer={"estimator": name}``.
        scored: whether the gradient is the score function's, so that the sample has none.
        bias: why its mean is not the gradient, ``None`` where it is.

    >>> import pyro.distributions as dist
    >>> Pathwise().obstacle(dist.Poisson(3.0), particles=1)
    "a Poisson has no reparameterised sample; use 'score', 'running-mean', 'learned' or \
'leave-one-out'"
    """

    name: ClassVar[str]
    scored: ClassVar[bool] = False
    bias: ClassVar[str | None] = None

    def obstacle(self, fn: Any, particles: int) -> str | None:
        """Why it is not legal where the guide draws from ``fn``, with the cure; else ``None``."""
        return None


@dataclass(frozen=True)
class Pathwise(Estimator):
    """The reparameterised sample's gradient: the default wherever there is such a sample.

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.
    """

    name = "pathwise"

    def obstacle(self, fn: Any, particles: int) -> str | None:
        if not fn.has_rsample:
            exact = "'enumerate', " if fn.has_enumerate_support else ""
            return f"a {family(fn)} has no reparameterised sample; use {exact}{SCORED}"
        return None


@dataclass(frozen=True)
class StickingTheLanding(Pathwise):
    """Pathwise, less the score of log q, whose mean is zero: no noise at the exact posterior.

    Roeder, Wu and Duvenaud 2017, *Sticking the Landing*.
    """

    name = "stl"


@dataclass(frozen=True)
class Score(Estimator):
    """The score function: the bound times the gradient of log q, with no baseline.

    Ranganath, Gerrish and Blei 2014, *Black Box Variational Inference*.
    """

    name = "score"
    scored = True

    def obstacle(self, fn: Any, particles: int) -> str | None:
        if family(fn) == "Delta":
            return "a point mass has no density whose score there is; use 'pathwise'"
        if _support_moves(fn):
            return f"the support of its {family(fn)} moves with the parameters; use 'pathwise'"
        return None


@dataclass(frozen=True)
class RunningMean(Score):
    """The score function, less the running mean of the bound in the steps before.

    Args:
        decay: part of the old mean that each step keeps, in [0, 1).
    """

    decay: float = 0.9
    name = "running-mean"

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"decay is a number in [0, 1), not {self.decay!r}")


@dataclass(frozen=True)
class Learned(RunningMean):
    r"""The score function, less what a network of x expects of the bound (NVIL).

    The network learns :math:`(\ell - m)/s` from x by least squares, where m and s are the running
    mean and deviation of the signal :math:`\ell`; the baseline is :math:`m + s f(x)`. Mnih and
    Gregor divide the signal itself by s, which changes the gradient's length from step to step;
    here s scales the network alone, so that the gradient has no bias.

    Mnih and Gregor 2014, *Neural Variational Inference and Learning in Belief Networks*.

    Args:
        decay: as in :class:`RunningMean`.
        hidden: widths of the network that is made where none is given.
        network: from x ``(batch, *event)`` to ``(batch,)`` or ``(batch, 1)``; for one site.
    """

    hidden: Sequence[int] = (64,)
    network: nn.Module | None = None
    name = "learned"


@dataclass(frozen=True)
class LeaveOneOut(Score):
    """The score function, less the mean of the bound over the other particles of the example.

    Kool, van Hoof and Welling 2019, *Buy 4 REINFORCE Samples, Get a Baseline for Free!*; Mnih and
    Rezende 2016, *Variational Inference for Monte Carlo Objectives*.
    """

    name = "leave-one-out"

    def obstacle(self, fn: Any, particles: int) -> str | None:
        if particles < 2:
            return "it needs other samples of the example; use ELBO(particles=2) or more"
        return super().obstacle(fn, particles)


def _support_moves(fn: Any) -> bool:
    """Whether the score leaves out what moves at the edge of the support."""
    try:
        support = fn.support
    except NotImplementedError:
        return False
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    bounds = getattr(support, "__dict__", {}).values()
    return any(isinstance(bound, Tensor) and bound.requires_grad for bound in bounds)
