"""Every prior with every posterior on its space, and every likelihood: what must hold of each.

Each pair of a prior and a posterior is tested with one likelihood, another one for each; the
others of the cross are marked slow, and so is most of what the parts' own contract holds them to.
"""

from __future__ import annotations

import io
from typing import Any

import pyro
import pytest
import torch
from swap.swap_parts import (
    BATCH,
    EVENT,
    LATENT,
    LIKELIHOODS,
    PAIRS,
    POSTERIORS,
    PRIORS,
    Programs,
    build,
    compose,
)

from pyro_vae.objectives import ELBO
from pyro_vae.programs import log_joint
from pyro_vae.terms import site_terms

PARTICLES = 3
GOOD = [pair for pair in PAIRS if compose(*pair)]


def turns() -> list[tuple[str, str, str]]:
    """Each good pair, with the likelihoods taking turns."""
    names = list(LIKELIHOODS)
    return [(*pair, names[i % len(names)]) for i, pair in enumerate(GOOD)]


def cross() -> list[Any]:
    fast = set(turns())
    every = [(*pair, likelihood) for pair in GOOD for likelihood in LIKELIHOODS]
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(*t, marks=marks[t in fast], id="-".join(t)) for t in every]


def every(n: int) -> Any:
    """All pairs; the fast tests have every n-th of them."""
    slow = (pytest.mark.slow,)
    cases = [
        pytest.param(*turn, marks=() if i % n == 0 else slow, id="-".join(turn))
        for i, turn in enumerate(turns())
    ]
    return pytest.mark.parametrize(("prior", "posterior", "likelihood"), cases)


def test_every_part_is_in_the_cross():
    found = [set(column) for column in zip(*turns(), strict=True)]
    assert found == [set(PRIORS), set(POSTERIORS), set(LIKELIHOODS)]


@pytest.mark.parametrize(("prior", "posterior", "likelihood"), cross())
def test_shapes_values_and_gradients(prior, posterior, likelihood):
    programs = build(prior, posterior, likelihood)
    pyro.set_rng_seed(1)
    objective = ELBO(particles=PARTICLES)
    terms = objective.terms(programs.model, programs.guide, *programs.args)
    assert terms["z"].value.shape == (PARTICLES, BATCH, LATENT)
    assert terms["x"].value.shape == (BATCH, *EVENT)
    for value in (terms["z"].log_p, terms["z"].log_q, terms["x"].log_p, terms.log_weights):
        assert value.shape == (PARTICLES, BATCH)
        assert value.isfinite().all()
    if terms["z"].reparameterized:
        (pull,) = torch.autograd.grad(terms["x"].log_p.sum(), terms["z"].value, retain_graph=True)
        assert pull.isfinite().all() and pull.abs().amax(0).min() > 0
    (-objective.bound(terms)).backward()
    for name, parameter in programs.parameters().items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
        if name.endswith(".network.layers.2.bias"):
            # Every number that an encoder or decoder puts out counts: locations, and scales too.
            assert parameter.grad.abs().min() > 0, name


def draw_and_score(programs: Programs) -> tuple[torch.Tensor, torch.Tensor]:
    pyro.set_rng_seed(1)
    with torch.no_grad():
        terms = site_terms(programs.model, programs.guide, *programs.args)
    return terms["z"].value, terms.log_weights


@every(4)
def test_saved_and_loaded(prior, posterior, likelihood):
    programs, other = build(prior, posterior, likelihood), build(prior, posterior, likelihood, 1)
    other.args = programs.args
    file = io.BytesIO()
    torch.save(programs.both.state_dict(), file)
    file.seek(0)
    before = draw_and_score(programs)
    assert not torch.equal(draw_and_score(other)[1], before[1])
    other.both.load_state_dict(torch.load(file, weights_only=True))
    # The same random numbers make the same draws, of the same density, to the last bit.
    assert all(map(torch.equal, draw_and_score(other), before))


@every(4)
def test_double(prior, posterior, likelihood):
    programs = build(prior, posterior, likelihood)
    z = draw_and_score(programs)[0]
    single = scores(programs, z)
    double = programs.double()
    assert all(value.dtype == torch.float64 for value in draw_and_score(double))
    for one, other in zip(single, scores(double, z.double()), strict=True):
        if one is not None and other is not None:
            assert other.dtype == torch.float64
            # A few dozen operations in 7 digits, on log-densities of size 1 to 100; a spline
            # that is inverted where its slope is 1e-2 loses two of them.
            torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)


def scores(programs: Programs, z: torch.Tensor) -> list[torch.Tensor | None]:
    """log p(x, z), and log q(z|x), of given z."""
    x = programs.args[0]
    joint = log_joint(programs.model)
    q = programs.guide.posterior
    return [exact(lambda: joint(x, z)), exact(lambda: q(*programs.args).log_prob(z))]


def exact(score: Any) -> torch.Tensor | None:
    """``None`` where a density is estimated by draws, or that of a path and not of z."""
    with torch.no_grad():
        try:
            one, other = score(), score()
        except ValueError as error:
            assert "can score only the z that it drew" in str(error)
            return None
    return one if torch.equal(one, other) else None
