"""Every likelihood of the package, in settings that matter: a new one joins by existing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro_vae import likelihoods
from pyro_vae.likelihoods.base import Likelihood, descendants
from pyro_vae.networks import MLP

LATENT = 2
COLUMNS = ["Normal", "Bernoulli", "Categorical:3", "Poisson", "Normal", "Beta:per-pixel"]

#: Settings beside, or where these are needed in place of, the constructor's defaults.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "Beta": [{}, {"precision": "per-pixel"}, {"precision": 3.0}],
    "Categorical": [{"levels": 4}],
    "DiscretizedLogistic": [{}, {"scale": "per-pixel"}, {"levels": 17}],
    "DiscretizedLogisticMixture": [{}, {"components": 2, "levels": 17}],
    "Laplace": [{}, {"scale": "per-pixel"}],
    "LogitNormal": [{}, {"scale": "per-pixel"}, {"scale": 3.0}],
    "Mixed": [{"families": COLUMNS}],
    "NegativeBinomial": [{}, {"dispersion": "per-pixel"}, {"dispersion": "shared"}],
    "Normal": [
        {},
        {"scale": 0.3},
        {"scale": "per-dimension"},
        {"scale": "per-pixel"},
        {"scale": "optimal"},
    ],
    "StudentT": [{}, {"df": "shared"}, {"scale": "per-pixel"}],
    "ZeroInflatedNegativeBinomial": [{}, {"dispersion": "per-pixel"}],
}


@dataclass
class Case:
    """A likelihood's class and its options."""

    kind: Any
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return (6,) if self.kind is likelihoods.Mixed else (2, 3)

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.kind.outputs(shape, **self.options)

    def build(self, shape: tuple[int, ...] | None = None, seed: int = 0) -> Likelihood:
        """On a small random network."""
        torch.manual_seed(seed)
        outputs = self.outputs(self.shape if shape is None else shape)
        return self.kind(MLP(LATENT, outputs, hidden=[5]), **self.options)

    def on(self, numbers: Tensor) -> Likelihood:
        """On a network that says these numbers whatever z is."""
        return self.kind(Constant(numbers), **self.options)

    def support(self, part: Likelihood, x: Tensor) -> Tensor:
        """Which single numbers of x lie in the support."""
        return part(torch.zeros(1, LATENT).to(x)).base_dist.support.check(x)


class Constant(nn.Module):
    """A network that puts out its own parameter."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = nn.Parameter(numbers)
        self.outputs = tuple(numbers.shape)

    def forward(self, z: Tensor) -> Tensor:
        return self.numbers.expand(*z.shape[:-1], *self.outputs)


def name(case: Case) -> str:
    options = ", ".join(f"{key}={value}" for key, value in case.options.items())
    return f"{case.kind.__name__}({options})" if case.kind is not likelihoods.Mixed else "Mixed"


CASES = [
    Case(kind, options)
    for kind in sorted(descendants(), key=lambda kind: kind.__name__)
    if kind.__module__.startswith("pyro_vae.")
    for options in SETTINGS.get(kind.__name__, [{}])
]


@pytest.fixture(params=CASES, ids=name)
def case(request) -> Case:
    """Each likelihood in each of its settings."""
    return request.param


@pytest.fixture
def cases() -> list[Case]:
    return CASES


@pytest.fixture
def make():
    """A likelihood by name on a network of constant numbers: ``make("Normal", numbers, ...)``."""

    def build(kind: str, numbers: Tensor, **options: Any) -> Likelihood:
        return Case(getattr(likelihoods, kind), options).on(numbers).to(numbers.dtype)

    return build
