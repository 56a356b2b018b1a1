"""A prior and a posterior on different spaces are refused before the first step, in one line."""

from __future__ import annotations

import re

import pytest
import torch
from swap.swap_parts import (
    APART,
    LIKELIHOODS,
    PAIRS,
    build,
    compose,
    space_of_posterior,
    space_of_prior,
)

from pyro_vae import fit
from pyro_vae.evaluation import evaluate
from pyro_vae.likelihoods import takers
from pyro_vae.objectives import explain
from pyro_vae.terms import ProgramError

REFUSED = [pair for pair in PAIRS if not compose(*pair)]

#: The spaces of a prior and of a posterior, and what is said of the families on them.
SAID = {
    ("real", "simplex"): "a density in space, and the guide's \\w+ a density on the simplex",
    ("real", "one-hot"): "a density in space, and the guide's OneHotCategorical discrete",
    ("simplex", "real"): "a density on the simplex, and the guide's .* a density in space",
    ("simplex", "box"): "a density on the simplex, and the guide's AffineBeta a density in space",
    ("simplex", "one-hot"): "a density on the simplex, and the guide's OneHotCategorical discrete",
    ("box", "simplex"): "a density in space, and the guide's \\w+ a density on the simplex",
    ("box", "one-hot"): "a density in space, and the guide's OneHotCategorical discrete",
    # What is drawn is looked at, and a flow says little of what it can draw.
    ("box", "real"): "outside the support|the guide's flow on Normal can draw what the model's Un",
    ("one-hot", "real"): "discrete, and the guide's .* a density in space",
    ("one-hot", "box"): "discrete, and the guide's AffineBeta a density in space",
    ("one-hot", "simplex"): "discrete, and the guide's \\w+ a density on the simplex",
}


def test_every_pair_of_spaces_that_differ_is_tried():
    spaces = {(space_of_prior(p), space_of_posterior(q)) for p, q in REFUSED if (p, q) not in APART}
    assert spaces == SAID.keys()


@pytest.mark.parametrize(("prior", "posterior"), REFUSED)
def test_the_line(prior, posterior):
    programs = build(prior, posterior)
    before = [p.detach().clone() for p in programs.both.parameters()]
    (problem, *_) = explain(programs.model, programs.guide, *programs.args).problems
    assert "\n" not in problem and len(problem) < 300
    if (prior, posterior) in APART:
        told = re.escape(APART[prior, posterior])
    else:
        said = SAID[space_of_prior(prior), space_of_posterior(posterior)]
        told = rf"^site 'z' .*({said}).*families of one support$"
    assert re.search(told, problem), problem
    with pytest.raises(ProgramError, match=told):
        fit(programs.model, programs.guide, programs.args, epochs=1, progress=False)
    assert all(map(torch.equal, before, programs.both.parameters()))


def test_a_narrow_posterior_on_reals_does_not_pass_for_one_on_a_box():
    """None of its first draws is outside, and one will be."""
    programs = build("Uniform", "FullCovarianceNormal")
    with torch.no_grad():
        programs.guide.posterior.network.layers[-1].weight.zero_()
        programs.guide.posterior.network.layers[-1].bias.copy_(torch.tensor([0, 0, -9, -9, 0.0]))
    (problem, *_) = explain(programs.model, programs.guide, *programs.args).problems
    assert problem == (
        "site 'z' in the model (Uniform): the guide's MultivariateNormal can draw any number, also "
        "outside the support; give model and guide families of one support"
    )


OUTSIDE = -1.25
NARROW = [name for name, kind in LIKELIHOODS.items() if not kind.takes(torch.tensor(OUTSIDE))]


@pytest.mark.parametrize("likelihood", NARROW)
def test_data_outside_a_likelihood_s_support_name_value_site_and_what_takes_them(likelihood):
    programs = build("StandardNormal", "DiagonalNormal", likelihood)
    x = programs.args[0].clone()
    x[1, 2] = OUTSIDE
    (problem,) = explain(programs.model, programs.guide, x).problems
    *most, last = takers(x)
    line = rf"data at site 'x' contain {OUTSIDE} at \[1, 2\], outside the support of \w+: .*"
    assert re.fullmatch(line + re.escape(f"{', '.join(most)} or {last}"), problem), problem
    with pytest.raises(ProgramError, match=re.escape(problem)):
        fit(programs.model, programs.guide, x, epochs=1, progress=False)
    with pytest.raises(ProgramError, match=re.escape(problem)):
        evaluate(programs.model, programs.guide, x, particles=2)
