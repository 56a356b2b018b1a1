"""Every prior, posterior and likelihood of the package, by the space of z that it lives in.

A new part joins by existing: it is found by its package, built from its constructor's parameters
by name, as the command line builds it, and its space is read off the support of what it returns.
What a constructor cannot do without stands in ``OPTIONS`` of the parts' own contract.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyro.distributions as dist
import torch
from parts.test_parts_contract import OPTIONS
from pyro.distributions import constraints
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vae import likelihoods, posteriors, priors
from pyro_vae.networks import MLP
from pyro_vae.posteriors import Posterior
from pyro_vae.programs import VAE, log_joint, vae

LATENT, BATCH, EVENT = 2, 5, (3,)

#: Smaller than a part comes by itself: for speed, and steps that do not leap over the narrow
#: peaks of a mass on 256 levels.
SMALL: dict[str, dict[str, Any]] = {
    "FlowPrior": {"layers": 2, "hidden": 4},
    "ResampledPrior": {"hidden": 4, "proposals": 64},
    "VampPrior": {"components": 5},
    "InverseAutoregressive": {"hidden": 4, "context": 2},
    "Spline": {"hidden": 4, "context": 2},
    "Hamiltonian": {"leapfrog": 2, "step": 0.01},
    "SemiAmortized": {"steps": 2, "lr": 1e-3},
}


class OneHot(Posterior):
    """Classes: the package has a prior on them, and leaves the posterior to its user."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @staticmethod
    def outputs(latent: int, **_: Any) -> tuple[int, ...]:
        return (latent,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.OneHotCategorical(logits=self.network(x))


class Relaxed(OneHot):
    """Nearly one-hot points of the simplex."""

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        logits = self.network(x)
        return dist.RelaxedOneHotCategorical(logits.new_tensor(0.5), logits=logits)


class Box(OneHot):
    """Beta variables on [-1, 1]."""

    @staticmethod
    def outputs(latent: int, **_: Any) -> tuple[int, ...]:
        return (2 * latent,)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        one, other = (softplus(self.network(x)) + 1.5).chunk(2, -1)
        return dist.AffineBeta(one, other, -torch.ones_like(one), 2.0).to_event(1)


def exported(package: Any, base: str) -> dict[str, Any]:
    classes = {name: getattr(package, name) for name in package.__all__ if name != base}
    return {name: kind for name, kind in classes.items() if inspect.isclass(kind)}


PRIORS = exported(priors, "Prior")
POSTERIORS = {
    **exported(posteriors, "Posterior"),
    **{f"my {kind.__name__}": kind for kind in (OneHot, Relaxed, Box)},
}
LIKELIHOODS = exported(likelihoods, "Likelihood")


@dataclass
class Programs:
    """A model, its guide, and the arguments of both."""

    model: vae.Model
    guide: vae.Guide
    args: tuple[Tensor, ...]

    @property
    def both(self) -> VAE:
        return VAE(self.model, self.guide)

    def double(self) -> Programs:
        self.both.double()
        args = tuple(a.double() if a.is_floating_point() else a for a in self.args)
        return Programs(self.model, self.guide, args)

    def parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.both.named_parameters())


def build(prior: str, posterior: str, likelihood: str = "Bernoulli", seed: int = 0) -> Programs:
    """The two programs, and data that the likelihood itself drew; no parameter stays at zero."""
    torch.manual_seed(seed)
    options = OPTIONS.get(f"likelihoods.{likelihood}", [{}])[0]
    kind = LIKELIHOODS[likelihood]
    outputs = kind.outputs(EVENT, **options)
    model = vae.Model(nn.Identity(), kind(net((LATENT,), outputs), **options))
    q = _posterior(POSTERIORS[posterior], model)
    model.prior = _made(PRIORS[prior], latent=LATENT, posterior=q, shape=EVENT)
    both = Programs(model, vae.Guide(q), ())
    with torch.no_grad():
        for parameter in both.parameters().values():
            parameter.add_(0.2 * torch.randn_like(parameter))
        many = model.likelihood(torch.randn(20 * BATCH, LATENT)).sample()
    # Zeros alone, which counts may be, would leave an encoder's first layer without a gradient.
    x = many[many.any(-1)][:BATCH]
    both.args = (x, torch.arange(BATCH)) if POSTERIORS[posterior] is posteriors.PerExample else (x,)
    return both


def net(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> MLP:
    return MLP(inputs, outputs, [4], "tanh")


def _posterior(kind: Any, model: vae.Model) -> Posterior:
    base = posteriors.DiagonalNormal(net(EVENT, (2 * LATENT,)))
    asked = inspect.signature(kind).parameters
    # A base that has a default is a family; one that must be given is a whole posterior.
    given = {"base": base} if _needed(asked, "base") else {}
    options = SMALL.get(kind.__name__, {})
    network = net(EVENT, kind.outputs(LATENT, **options)) if "network" in asked else None
    return _made(
        kind,
        network=network,
        latent=LATENT,
        examples=BATCH,
        log_joint=log_joint(model),
        **given,
    )


def _made(kind: Any, **provided: Any) -> Any:
    asked = inspect.signature(kind).parameters
    given = {name: value for name, value in provided.items() if name in asked}
    return kind(**given, **SMALL.get(kind.__name__, {}))


def _needed(asked: Any, name: str) -> bool:
    return name in asked and asked[name].default is inspect.Parameter.empty


def space(distribution: Any) -> str:
    """The space of z that a distribution is on."""
    support = distribution.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support.is_discrete:
        return "one-hot"
    if support is constraints.simplex:
        return "simplex"
    return "real" if support is constraints.real else "box"


#: Pairs on one space that cannot be, with what the error says: a Vamp prior scores any z by the
#: guide's posterior at other x than the data.
APART = {
    ("VampPrior", "Hamiltonian"): "a Hamiltonian posterior can score only the z that it drew last",
    ("VampPrior", "SemiAmortized"): "a part of the programs uses itself",
    ("VampPrior", "PerExample"): "PerExample needs the numbers of the examples",
}


@cache
def space_of_prior(name: str) -> str | None:
    """``None`` for a prior that is made of the posterior, and lives where that does."""
    if "posterior" in inspect.signature(PRIORS[name]).parameters:
        return None
    with torch.random.fork_rng(devices=[]):
        return space(_made(PRIORS[name], latent=LATENT)())


@cache
def space_of_posterior(name: str) -> str:
    with torch.random.fork_rng(devices=[]):
        programs = build("StandardNormal", name)
        return space(programs.guide.posterior(*programs.args))


def compose(prior: str, posterior: str) -> bool:
    """Whether q(z|x) has a density where p(z) has one, of the same kind."""
    p, q = space_of_prior(prior), space_of_posterior(posterior)
    together = p in (None, q) or (p, q) == ("real", "box")
    return together and (prior, posterior) not in APART


PAIRS = [(prior, posterior) for prior in PRIORS for posterior in POSTERIORS]
