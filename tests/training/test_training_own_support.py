"""Data of which each entry has a support of its own: binomial counts of n tries."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae import fit
from pyro_vae.terms import ProgramError


def model(x, tries=None):
    logits = pyro.param("logits", torch.zeros(3))
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        tries = 4 if tries is None else tries
        p = dist.Binomial(tries, logits=logits + z[..., None])
        pyro.sample("x", p.to_event(1), obs=x)


def guide(x, tries=None):
    loc = pyro.param("loc", torch.tensor(0.0))
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(loc.expand(len(x)), 1.0))


def trained(*data):
    return fit(model, guide, data, epochs=1, batch_size=10, progress=False, compile=False)


def test_more_examples_than_a_batch_are_looked_at():
    x = torch.randint(5, (35, 3)).float()
    assert len(trained(x)) == 1
    x[31, 2] = 5.0
    with pytest.raises(ProgramError, match=r"contain 5 at \[31, 2\], outside the support of Bin"):
        trained(x)


def test_each_example_against_its_own_number_of_tries():
    tries = torch.randint(1, 9, (35, 3)).float()
    x = (tries * torch.rand(35, 3)).floor()
    assert len(trained(x, tries)) == 1
    x[31, 2] = tries[31, 2] + 1
    with pytest.raises(ProgramError, match=r"from number 30 on: .* at \[1, 2\], outside the supp"):
        trained(x, tries)
