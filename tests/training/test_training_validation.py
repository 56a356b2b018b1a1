"""The validation ELBO is the plain one, changes nothing, and decides when to stop."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from training_programs import (
    FEATURES,
    LATENT,
    WAYS,
    binary,
    noisy,
    ours,
    real,
    same,
    trained,
)

from pyro_vae import ELBO, fit
from pyro_vae.likelihoods import Normal
from pyro_vae.objectives import Objective
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae
from pyro_vae.terms import Terms, site_terms
from pyro_vae.training import loop, validation_elbo


def run(pair: Any, x: Any = None, **options: Any):
    settings = {"epochs": 3, "batch_size": 20, "lr": 1e-2, "progress": False, **options}
    return fit(*pair, real() if x is None else x, **settings)


class Weighted(Objective):
    """A beta-VAE's bound, as somebody else may write one."""

    def bound(self, terms: Terms) -> Tensor:
        total = torch.zeros(())
        for site in terms.values():
            total = total + (site.log_p.sum() if site.kind == "observed" else -9 * site.kl.sum())
        return total


class Scores:
    """Sets the model so that its validation ELBO falls in a given order.

    The likelihood's mean for a data set of zeros is what the logger wrote into the bias last.
    """

    def __init__(self, model: Any, offsets: list[float]) -> None:
        self.bias = model.likelihood.network.bias
        self.offsets = list(offsets)
        self.set()

    def set(self) -> None:
        self.bias.data.fill_(self.offsets.pop(0) if self.offsets else 99.0)

    def log(self, row: Any, step: int) -> None:
        self.set()


class Constant(nn.Module):
    """Its output is its bias, whatever comes in."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, z: Tensor) -> Tensor:
        return self.bias.expand(*z.shape[:-1], -1)


def scripted(offsets: list[float]) -> tuple[Any, Scores]:
    """A run whose validation ELBO in epoch k is a fall with the square of ``offsets[k]``."""
    model = vae.Model(StandardNormal(LATENT), Normal(Constant(FEATURES), scale=1.0))
    guide = vae.Guide(DiagonalNormal(Constant(2 * LATENT)))
    return (model, guide), Scores(model, offsets)


def scripted_run(pair: Any, scores: Scores, **options: Any):
    zeros = torch.zeros(20, FEATURES)
    return run(pair, zeros, validation=zeros, lr=1e-12, loggers=[scores], **options)


# -- what it is --------------------------------------------------------------------------------


def test_it_is_the_mean_log_evidence_where_the_guide_is_exact():
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x / 2, x.new_tensor(0.5).sqrt()))

    x = torch.linspace(-3, 3, 2000, dtype=torch.float64)
    found = validation_elbo(model, guide, x)
    q = dist.Normal(x / 2, x.new_tensor(0.5).sqrt())
    kl = torch.distributions.kl_divergence(q, dist.Normal(0 * x, 1.0)).mean().item()
    assert found["valid_kl"] == pytest.approx(kl, abs=1e-12)
    assert found["valid_elbo"] == pytest.approx(found["valid_reconstruction"] - kl, abs=1e-12)
    # With z = x/2 + eps/sqrt(2), one sample of log p(x|z) has variance (x^2 + 1) / 8.
    exact = dist.Normal(0.0, x.new_tensor(2.0).sqrt()).log_prob(x).mean().item()
    error = ((x.square() + 1) / 8).mean().sqrt().item() / 2000**0.5
    assert found["valid_elbo"] == pytest.approx(exact, abs=4 * error)


@pytest.mark.parametrize(
    "objective", [Weighted(), Trace_ELBO(), ELBO(particles=3)], ids=["beta", "Pyro's", "ours"]
)
def test_it_is_unweighted_whatever_is_optimised(objective):
    pair = ours()
    history = run(pair, validation=real(13), objective=objective, restore_best=False)
    plain = validation_elbo(*pair, real(13))
    assert {name: history[name][-1] for name in plain} == plain
    if isinstance(objective, Weighted):
        # What is minimised counts the KL nine times; what is reported, once.
        for loss, r, kl in zip(
            history["loss"], history["reconstruction"], history["kl"], strict=True
        ):
            assert loss == pytest.approx(9 * kl - r, rel=1e-6)


def test_mini_batches_of_any_size_give_the_mean_over_all_examples():
    pair = ours()
    pair[0].likelihood.network = Constant(FEATURES)  # so that the draws do not matter
    x = real(23)
    values = [validation_elbo(*pair, x, batch_size=size)["valid_elbo"] for size in (1, 7, 23, 1000)]
    assert values == pytest.approx([values[0]] * 4, rel=1e-6)


def test_it_takes_arrays_and_tuples():
    pair = ours()
    x = real(11)
    assert validation_elbo(*pair, x) == validation_elbo(*pair, (x,))
    assert validation_elbo(*pair, x) == validation_elbo(*pair, x.numpy())


# -- it changes nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_it_is_deterministic_and_changes_nothing(way):
    pair = WAYS[way](0)
    run(pair)
    before = trained(pair)
    numpy = repr(np.random.get_state())  # noqa: NPY002
    states = torch.get_rng_state(), random.getstate()
    first, second = validation_elbo(*pair, real(30)), validation_elbo(*pair, real(30))
    assert first == second
    assert same(trained(pair), before)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert repr(np.random.get_state()) == numpy  # noqa: NPY002


def test_dropout_is_off_and_batch_norm_uses_what_it_learned():
    pair = noisy()
    run(pair, binary())
    training = [module.training for program in pair for module in program.modules()]
    measured = validation_elbo(*pair, binary(30))
    assert [m.training for program in pair for m in program.modules()] == training
    for program in pair:
        program.eval()
    assert measured == validation_elbo(*pair, binary(30))
    for program in pair:
        program.train()
    terms = site_terms(*pair, binary(30))
    assert terms["x"].log_p.mean().item() != pytest.approx(measured["valid_reconstruction"])


def test_modules_that_functions_call_are_in_evaluation_mode_too():
    pair = WAYS["bare, modules out of sight"](0)
    norm = pair[0].func.__closure__[0].cell_contents["both"].decoder[1]
    run(pair)
    training = validation_elbo(*pair, real(30))
    assert norm.training
    norm.eval()
    assert training == validation_elbo(*pair, real(30))


@pytest.mark.parametrize("build", [noisy, lambda: ours(likelihood="bernoulli")])
def test_a_run_with_validation_takes_the_same_steps_as_one_without(build):
    pair, other = build(), build()
    run(pair, binary(), validation=binary(17), restore_best=False)
    run(other, binary())
    assert same(trained(pair), trained(other))


# -- what it decides ---------------------------------------------------------------------------


def test_the_weights_of_the_best_epoch_are_restored():
    pair, scores = scripted([3.0, 1.0, 2.0, 4.0])
    history = scripted_run(pair, scores, epochs=4)
    assert history.best_epoch == 2
    assert pair[0].likelihood.network.bias.tolist() == pytest.approx([1.0] * FEATURES)
    exact = dist.Normal(1.0, 1.0).log_prob(torch.tensor(0.0)).item() * FEATURES
    assert history["valid_reconstruction"][1] == pytest.approx(exact, rel=1e-6)


def test_or_the_last_weights_are_kept():
    pair, scores = scripted([3.0, 1.0, 2.0, 4.0])
    scripted_run(pair, scores, epochs=4, restore_best=False)
    assert pair[0].likelihood.network.bias.tolist() == [99.0] * FEATURES


@pytest.mark.parametrize(
    ("patience", "offsets", "epochs", "best"),
    [
        (1, [3, 2, 2.5, 1, 0.5, 0.1], 3, 2),
        (2, [3, 2, 2.5, 1, 0.5, 0.1], 6, 6),
        (2, [3, 2, 2.5, 2.2, 0.5, 0.1], 4, 2),
        (2, [1, 1, 1, 1, 1, 1], 3, 1),
        (6, [1, 2, 3, 4, 5, 6], 6, 1),
    ],
)
def test_patience_counts_epochs_without_a_better_elbo(patience, offsets, epochs, best):
    pair, scores = scripted([float(offset) for offset in offsets])
    history = scripted_run(pair, scores, epochs=6, patience=patience)
    assert len(history) == epochs and history.best_epoch == best
    assert pair[0].likelihood.network.bias[0].item() == pytest.approx(offsets[best - 1])


def test_a_validation_elbo_that_is_not_finite_is_never_the_best(monkeypatch):
    values = iter([math.nan, -5.0, math.inf, math.nan, -4.0, -6.0])
    monkeypatch.setattr(loop, "validation_elbo", lambda *_: {"valid_elbo": next(values)})
    pair, kept = ours(), []

    class Keep:
        def log(self, row: Any, step: int) -> None:
            kept.append(trained(pair))

    history = run(pair, validation=real(5), epochs=6, patience=4, loggers=[Keep()])
    assert len(history) == 6 and history.best_epoch == 5
    assert same(trained(pair), kept[4]) and not same(kept[4], kept[5])


def test_only_the_training_data_are_transformed():
    seen: list[int] = []
    x = torch.rand(60, FEATURES)

    def draw(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return torch.bernoulli(batch)

    history = run(ours(likelihood="bernoulli"), x, transform=draw, validation=binary(13))
    assert 13 not in seen and len(history) == 3
