"""`fit` trains whatever is a Pyro program, as stock SVI does, and leaves nothing else changed."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import (
    SVI,
    RenyiELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from torch import nn
from training_programs import WAYS, bare_modules, binary, noisy, ours, real, same, trained

from pyro_vae import ELBO, data, fit
from pyro_vae.training.batches import batches

OBJECTIVES = {
    "ours": ELBO,
    "ours, sampled": lambda: ELBO(kl="sampled", particles=2),
    "Trace_ELBO": Trace_ELBO,
    "TraceMeanField_ELBO": TraceMeanField_ELBO,
    "TraceGraph_ELBO": TraceGraph_ELBO,
    "RenyiELBO": lambda: RenyiELBO(alpha=0.5, num_particles=2),
}


def run(pair: Any, x: Any = None, **options: Any):
    settings = {"epochs": 3, "batch_size": 20, "lr": 1e-2, "progress": False, **options}
    return fit(*pair, real() if x is None else x, **settings)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["ours", "Trace_ELBO"])
def test_every_way_of_writing_programs_trains_every_parameter(way, name):
    pair = WAYS[way](0)
    run(pair, epochs=1, lr=1e-12, objective=OBJECTIVES[name]())
    before = trained(pair)
    history = run(pair, epochs=6, objective=OBJECTIVES[name]())
    after = trained(pair)
    learned = [k for k, v in after.items() if v.is_floating_point() and "running" not in k]
    assert learned and all(not torch.equal(before[k], after[k]) for k in learned)
    # The same data; six epochs at this rate gain whole nats on each of these.
    assert history["loss"][-1] < history["loss"][0] - 0.5


@pytest.mark.parametrize("name", OBJECTIVES)
def test_pyros_objectives_and_ours_train(name):
    history = run(ours(), epochs=6, objective=OBJECTIVES[name]())
    assert history["loss"][-1] < history["loss"][0] - 0.5
    assert ("elbo" in history.columns) == name.startswith("ours")


@pytest.mark.parametrize("objective", [ELBO(kl="sampled"), Trace_ELBO()], ids=["ours", "Pyro's"])
def test_stock_svi_walks_the_same_path(objective):
    """The same order of data, draws and optimiser: equal weights but for rounding in float64.

    SVI's loss is the sum over the mini-batch and ours the mean; Adam with eps = 0 divides the
    factor out again, where every mini-batch has the same size.
    """
    x = real().double()
    left, right = ours(), ours()
    options = {"lr": 1e-2, "eps": 0.0, "betas": (0.9, 0.99)}
    for program in (*left, *right):
        program.double()
    pyro.set_rng_seed(3)
    svi = SVI(*right, pyro.optim.Adam(options), loss=Trace_ELBO())
    stock = [
        sum(svi.step(x[index]) for index in batches(60, 20, seed=3, epoch=epoch)) / 60
        for epoch in range(5)
    ]
    history = run(
        left,
        x,
        objective=objective,
        optim=pyro.optim.Adam(options),
        lr=None,
        schedule="constant",
        epochs=5,
        seed=3,
    )
    # 15 steps of rounding errors of 1e-16 each, amplified less than a millionfold.
    assert history["loss"] == pytest.approx(stock, abs=1e-9)
    for p, q in zip(left, right, strict=True):
        for (name, a), b in zip(p.state_dict().items(), q.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=0, msg=name)


def test_two_models_in_one_process_train_independently():
    alone = ours(1)
    run(alone, seed=1)
    first, second = ours(0), ours(1)
    run(first)
    kept = [{k: v.clone() for k, v in p.state_dict().items()} for p in first]
    run(second, seed=1)
    assert all(same(dict(p.state_dict()), k) for p, k in zip(first, kept, strict=True))
    assert all(
        same(dict(p.state_dict()), dict(q.state_dict())) for p, q in zip(second, alone, strict=True)
    )


def test_two_bare_models_of_one_name_are_refused_not_left_untrained():
    run(bare_modules(0))
    with pytest.raises(ValueError, match=r"^param '\w+.*' .* already holds another module's"):
        run(bare_modules(1))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    def weights(seed: int) -> dict[str, torch.Tensor]:
        pair = noisy()
        run(pair, binary(), seed=seed)
        return {f"{n}{k}": v for n, p in enumerate(pair) for k, v in p.state_dict().items()}

    assert same(weights(0), weights(0))
    assert not same(weights(0), weights(1))


def test_random_numbers_outside_stay_as_they_were():
    def states() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002

    pair, x = noisy(), binary()
    before = states()
    run(pair, x, validation=binary(10))
    assert states() == before
    with pytest.raises(ValueError, match="Bernoulli"):
        run(pair, x + 0.5)
    assert states() == before


def test_history_is_the_mean_over_examples_of_what_each_mini_batch_measured():
    """With the exact posterior each sampled bound is log p(x) itself, whatever is drawn."""
    still = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))

    def model(x):
        pyro.param("still", still)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(z + 0 * still, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))

    x = torch.linspace(-2, 3, 50, dtype=torch.float64)
    history = run((model, guide), x, batch_size=16, objective=ELBO(kl="sampled"))
    scale = torch.tensor(2.0, dtype=torch.float64).sqrt()
    exact = dist.Normal(0.0, scale).log_prob(x).mean().item()
    assert history["elbo"] == pytest.approx([exact] * 3, abs=1e-12)
    assert history["loss"] == pytest.approx([-exact] * 3, abs=1e-12)
    parts = zip(history["elbo"], history["reconstruction"], history["kl"], strict=True)
    assert all(e == pytest.approx(r - k, abs=1e-12) for e, r, k in parts)
    assert history["epoch"] == [1, 2, 3] and history["step"] == [4, 8, 12]


def test_a_data_set_brings_its_validation_part_and_its_transform():
    x = torch.full((40, 5), 0.5)
    seen = []

    def transform(batch):
        seen.append(len(batch))
        return torch.bernoulli(batch)

    parts = data.Dataset(
        "coins", x, torch.bernoulli(x[:7]), x[:7], values="binary", transform=transform
    )
    history = run(ours(likelihood="bernoulli"), parts, epochs=2)
    assert {"valid_elbo", "valid_reconstruction", "valid_kl"} <= set(history.columns)
    assert seen[-4:] == [20, 20, 20, 20]


def test_several_arguments_are_passed_on_and_only_the_first_is_transformed():
    decoder = nn.Linear(1, 5)
    seen = []

    def model(x, y):
        pyro.module("decoder", decoder)
        seen.append((x.min().item(), y.max().item()))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(decoder(z) + y[:, None], 1.0).to_event(1), obs=x)

    def guide(x, y):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x[:, :1] - y[:, None], 1.0).to_event(1))

    x, y = torch.rand(20, 5), torch.zeros(20)
    run((model, guide), (x, y.numpy()), transform=lambda batch: batch + 10)
    assert all(low >= 10 and high == 0 for low, high in seen)


def test_frozen_parameters_stay_and_the_others_train():
    pair = model, guide = ours()
    guide.requires_grad_(False)
    model.likelihood.log_scale.requires_grad_(False)
    before = trained(pair)
    run(pair)
    after = trained(pair)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {n for n in before if n.startswith("model.likelihood.network")}


def test_a_network_that_both_programs_hold_is_optimised_once():
    model, guide = ours()
    model.also = guide.posterior  # not used in the model; registered by both
    run((model, guide))
    alone = ours()
    run(alone)
    assert torch.equal(
        guide.posterior.network.layers[0].weight, alone[1].posterior.network.layers[0].weight
    )


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_on_within_even_if_off_outside(mode):
    pair, other = ours(), ours()
    run(pair)
    with mode():
        run(other, real())
    for p, q in zip(pair, other, strict=True):
        assert same(dict(p.state_dict()), dict(q.state_dict()))


def test_in_a_thread_the_result_is_the_same():
    pair, other = ours(), ours()
    run(pair)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run(other)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    for p, q in zip(pair, other, strict=True):
        assert same(dict(p.state_dict()), dict(q.state_dict()))


def test_it_leaves_no_gradients_and_no_changed_modes():
    pair = noisy()
    pair[0].likelihood.network[3].eval()  # one dropout off, as its owner wants
    modes = [module.training for program in pair for module in program.modules()]
    run(pair, binary(), validation=binary(10))
    assert all(p.grad is None for program in pair for p in program.parameters())
    assert [module.training for program in pair for module in program.modules()] == modes


def test_the_first_look_at_the_programs_changes_no_buffer():
    """Batch norm's statistics after the run are those of its steps and of nothing before."""
    pair = noisy()
    run(pair, binary(), epochs=2)
    assert pair[1].posterior.network[1].num_batches_tracked == 2 * 3


def test_the_first_look_finds_batch_norm_in_functions_too():
    pair = WAYS["bare, modules out of sight"](0)
    norm = pair[0].func.__closure__[0].cell_contents["both"].decoder[1]
    run(pair, epochs=2, validation=real(10))
    assert norm.num_batches_tracked == 2 * 3


@pytest.mark.parametrize(("n", "batch_size"), [(1, 128), (5, 128), (5, 5), (5, 1)])
def test_small_data_and_large_batches_work(n, batch_size):
    history = run(ours(), real(n), batch_size=batch_size, epochs=2)
    assert history["step"] == [-(-n // batch_size), 2 * -(-n // batch_size)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_precisions_work(dtype):
    pair = tuple(program.to(dtype) for program in ours())
    run(pair, real().to(dtype))
    assert {p.dtype for program in pair for p in program.parameters()} == {dtype}


@pytest.mark.parametrize(
    "array",
    [
        real().numpy(),
        real().numpy()[::-1],
        np.asfortranarray(real().numpy()),
        np.frombuffer(real().numpy().tobytes(), dtype=np.float32).reshape(60, 5),  # read-only
    ],
    ids=["plain", "reversed", "fortran", "read-only"],
)
def test_arrays_work(array):
    assert len(run(ours(), array)) == 3


def test_each_logger_gets_each_epoch_once():
    class Keep:
        def __init__(self):
            self.rows = []

        def log(self, row, step):
            self.rows.append((step, dict(row)))

    first, second = Keep(), Keep()
    history = run(ours(), validation=real(10), loggers=[first, second])
    assert first.rows == second.rows == [(row["step"], row) for row in history]
    assert history.columns == [
        *("epoch", "step", "loss", "elbo", "reconstruction", "kl"),
        *("valid_elbo", "valid_reconstruction", "valid_kl", "seconds", "lr"),
    ]


def test_lines_show_the_bound_of_a_foreign_objective(capsys):
    fit(*ours(), real(), objective=Trace_ELBO(), epochs=1, lr=1e-2)
    line = capsys.readouterr().err
    assert line.startswith("epoch 1/1  ELBO -") and line.rstrip().endswith("s)")
