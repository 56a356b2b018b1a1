"""Any pair that can be named on the command line: trained, opened again, sampled from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from cli_calls import TINY, Command
from parts.test_parts_contract import OPTIONS
from swap.swap_parts import SMALL, build
from swap.test_swap_cross import turns

from pyro_vae.cli.parts import ELSEWHERE, known_parts

NAMED = [turn for turn in turns() if turn[1] in known_parts("posterior")]


def sample(every: int) -> list[Any]:
    """Fast are a few, the others slow."""
    slow = (pytest.mark.slow,)
    return [
        pytest.param(*turn, marks=() if i % every == 7 else slow, id="-".join(turn))
        for i, turn in enumerate(NAMED)
    ]


def test_only_what_is_said_to_be_elsewhere_cannot_be_named():
    others = {turn[1] for turn in turns()} - {turn[1] for turn in NAMED}
    assert {name for name in others if not name.startswith("my ")} == ELSEWHERE.keys()


@pytest.mark.parametrize(("prior", "posterior", "likelihood"), sample(18))
def test_a_run(prior, posterior, likelihood, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = build(prior, posterior, likelihood).model
    with torch.no_grad():
        np.save("data.npy", model.likelihood(torch.randn(40, 2)).sample().numpy())
    words = ["--data", "data.npy", "--out", "run"]
    parts = {"prior": prior, "posterior": posterior, "likelihood": likelihood}
    for slot, name in parts.items():
        words += [f"--{slot}", name]
        needed = OPTIONS.get(f"{slot}s.{name}", [{}])[0]
        for option, value in {**needed, **SMALL.get(name, {})}.items():
            words += [f"--{slot}.{option}", json.dumps(value)]
    command = Command(capsys)
    report = command.good("train", *TINY, *words, "--json").json
    assert np.isfinite([report[key] for key in ("elbo", "reconstruction", "kl", "nll")]).all()
    again = command.good("evaluate", "run", "--particles", 5, "--json").json
    assert again == {key: report[key] for key in again}
    command.good("sample", "run", "--n", 3, "--mean", "false", "--out", "drawn.npy")
    drawn = torch.from_numpy(np.load("drawn.npy"))
    assert drawn.shape == (3, 3) and model.likelihood(torch.zeros(3, 2)).support.check(drawn).all()
