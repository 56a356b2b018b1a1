"""What ``fit`` does for objectives that have parts of their own."""

from __future__ import annotations

import pytest
import torch
from training_programs import ours, real

from pyro_vae import ProgramError, fit
from pyro_vae.objectives import GECO, AdversarialELBO, InfoELBO, TotalCorrelationELBO

OPTIONS = {"epochs": 2, "batch_size": 20, "lr": 1e-2, "progress": False}


def test_a_critic_is_trained_at_its_own_rate_and_resumes_bit_for_bit(tmp_path):
    def states(objective, pair):
        parts = [objective.state_dict(), *(program.state_dict() for program in pair)]
        return [value.clone() for part in parts for value in part.values()]

    options = {**OPTIONS, "schedule": "constant"}
    whole, pair = ours(), ours()
    objective = AdversarialELBO(critic_lr=1e-4)
    history = fit(*whole, real(60), objective=objective, **options)
    assert history["lr_critic"] == [1e-4, 1e-4]
    first, path = AdversarialELBO(critic_lr=1e-4), tmp_path / "run.pt"
    fit(*pair, real(60), objective=first, checkpoint=path, **{**options, "epochs": 1})
    again = AdversarialELBO(critic_lr=1e-4)
    fit(*pair, real(60), objective=again, resume=path, **options)
    for a, b in zip(states(objective, whole), states(again, pair), strict=True):
        assert torch.equal(a, b)


def test_an_objective_is_told_how_many_examples_there_are():
    objective = TotalCorrelationELBO()
    fit(*ours(), real(60), objective=objective, **OPTIONS)
    assert objective.examples == 60


def test_a_multiplier_is_reported_and_kept(tmp_path):
    history = fit(*ours(), real(60), objective=GECO(4.0), **OPTIONS)
    assert len(history["multiplier"]) == 2


def test_a_last_mini_batch_that_is_too_small_is_told_before_the_first_step():
    pair = ours()
    before = [p.clone() for p in pair[0].parameters()]
    with pytest.raises(ProgramError, match=r"^the last mini-batch, of 1 "):
        fit(*pair, real(41), objective=InfoELBO(), **OPTIONS)
    assert all(map(torch.equal, before, pair[0].parameters()))
