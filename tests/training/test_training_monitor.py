"""A run whose latent dies says so, once, with what to do about it."""

from __future__ import annotations

import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from training_programs import ours, real

from pyro_vae import fit
from pyro_vae.training import CollapseWarning
from pyro_vae.training.monitor import PATIENCE, Monitor

OPTIONS = {"batch_size": 4, "epochs": 2, "lr": 1e-3, "progress": False}


def _guide(use):
    shift = torch.nn.Parameter(torch.zeros(2))

    def guide(x):
        pyro.param("monitor.shift", shift)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(use * x[:, :2] + shift, 1.0).to_event(1))

    return guide


def test_a_dead_latent_is_spoken_of_once():
    monitor = Monitor(_guide(0.0))
    with pytest.warns(
        CollapseWarning, match="only 0 of 2 units of the latent 'z' are active"
    ) as caught:
        for epoch in (1, 2, 3):
            monitor.look((real(60),), PATIENCE, epoch)
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("after epoch 1 ")
    assert all(
        word in text
        for word in ("BetaELBO(beta=Linear(2000))", "FreeBits(nats=0.1)", "Aggressive()")
    )


def test_of_several_latents_the_dead_one_is_named_and_the_remedies_are_its_own():
    def guide(x):
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.OneHotCategorical(torch.ones(len(x), 3)))
            pyro.sample("z", dist.Normal(x[:, :2] + y[:, :1], 1.0).to_event(1))

    with pytest.warns(CollapseWarning, match="only 0 of 3 units of the latent 'y'") as caught:
        Monitor(guide).look((real(60),), PATIENCE, 1)
    text = str(caught[0].message)
    assert "SiteBetaELBO({'y': Linear(2000)})" in text and "fewer dimensions" in text
    assert "leave less to 'z'" in text and " BetaELBO" not in text


@pytest.mark.parametrize(("use", "step"), [(0.2, PATIENCE), (0.0, PATIENCE - 1)])
def test_a_latent_that_lives_and_a_run_that_begins_are_not_spoken_of(use, step):
    Monitor(_guide(use)).look((real(60),), step, 1)


def test_labels_have_no_mean_and_are_not_looked_at():
    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Categorical(torch.ones(3)))

    Monitor(guide).look((real(60),), PATIENCE, 1)


def test_a_run_warns():
    """The examples are all the same, so there is nothing that a latent could say."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(*ours(), torch.ones(1100, 5), **OPTIONS)
    assert [w.category for w in caught] == [CollapseWarning]
