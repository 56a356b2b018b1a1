"""A step of each posterior can be written down as tensor operations, as a compiled step is."""

from __future__ import annotations

import pyro
import pytest
import torch

from pyro_vae import ELBO
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import (
    DiagonalNormal,
    FullCovarianceNormal,
    Hamiltonian,
    Laplace,
    LowRankNormal,
    MixtureOfNormals,
    PerExample,
    Planar,
    SemiAmortized,
    StudentT,
)
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import log_joint, vae
from pyro_vae.training.compiled import CompiledSVI


def of(kind, **options):
    return kind(MLP(5, kind.outputs(2), [4]), **options)


def planar():
    return Planar(MLP(5, Planar.outputs(2, layers=2), [4]), latent=2, layers=2)


POSTERIORS = {
    "FullCovarianceNormal": lambda _: of(FullCovarianceNormal),
    "LowRankNormal": lambda _: of(LowRankNormal),
    "MixtureOfNormals": lambda _: of(MixtureOfNormals),
    "Laplace": lambda _: of(Laplace),
    "StudentT": lambda _: of(StudentT),
    "PerExample": lambda _: PerExample(2, examples=6),
    "SemiAmortized": lambda p: SemiAmortized(of(DiagonalNormal), p, steps=2),
    "SemiAmortized(through=False)": lambda p: SemiAmortized(of(StudentT), p, 2, through=False),
    "SemiAmortized(Planar)": lambda p: SemiAmortized(planar(), p, steps=2),
    "SemiAmortized(MixtureOfNormals)": lambda p: SemiAmortized(of(MixtureOfNormals), p, steps=2),
    "Hamiltonian": lambda p: Hamiltonian(of(DiagonalNormal), p, tempered=True),
    "Hamiltonian(Planar)": lambda p: Hamiltonian(planar(), p),
    "Hamiltonian(SemiAmortized)": lambda p: Hamiltonian(SemiAmortized(of(DiagonalNormal), p, 2), p),
}


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_step_is_tensor_operations_alone(name):
    torch.manual_seed(0)
    x = (torch.rand(6, 5) < 0.5).float()
    data = (x, torch.arange(6)) if name == "PerExample" else (x,)
    model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 5, [4])))
    guide = vae.Guide(POSTERIORS[name](log_joint(model)))
    adam = pyro.optim.Adam({"lr": 0.05})
    loss = ELBO(particles=20)
    svi = CompiledSVI(model, guide, adam, loss, strict=True, backend="none")
    start = sum(loss.loss(model, guide, *data) for _ in range(5))
    for _ in range(12):
        svi.step(*data)
    assert svi.compilations == 1
    assert sum(loss.loss(model, guide, *data) for _ in range(5)) < start
