"""One step: the gradient of the bound per example; and what happens when it is not finite."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn
from training_programs import FEATURES, LATENT, AtStep, noisy, ours, real, same, trained

from pyro_vae import ELBO, fit
from pyro_vae.training import TrainingError, load, loop, step
from pyro_vae.training.optimizer import make_optimizer
from pyro_vae.training.step import EagerStep


def parameters(pair: Any) -> list[nn.Parameter]:
    return [p for program in pair for p in program.parameters()]


def step_of(pair: Any, objective: Any, optim: Any = None, clip_norm: float | None = None):
    optimizer = make_optimizer(*(list(p.parameters()) for p in pair), optim, lr=0.1)
    return EagerStep(*pair, objective, optimizer, clip_norm)


@pytest.mark.parametrize("objective", [ELBO(), TraceMeanField_ELBO()], ids=["ours", "Pyro's"])
@pytest.mark.parametrize("n", [1, 7])
def test_a_step_follows_the_gradient_of_the_mean_loss(objective, n):
    pair, x = ours(), real(n)
    pyro.set_rng_seed(1)
    loss = ELBO().differentiable_loss(*pair, x) / n
    wanted = torch.autograd.grad(loss, parameters(pair))
    before = [p.detach().clone() for p in parameters(pair)]
    pyro.set_rng_seed(1)
    result = step_of(pair, objective, torch.optim.SGD)(x)
    assert result.loss.item() == pytest.approx(loss.item(), rel=1e-6)
    for p, old, gradient in zip(parameters(pair), before, wanted, strict=True):
        torch.testing.assert_close(p.detach(), old - 0.1 * gradient)


def test_our_objectives_tell_the_parts_of_the_bound_and_pyros_do_not():
    result = step_of(ours(), ELBO())(real(4))
    assert result.elbo is not None and result.reconstruction is not None
    assert result.kl is not None and result.kl > 0
    torch.testing.assert_close(result.elbo, result.reconstruction - result.kl)
    torch.testing.assert_close(result.loss, -result.elbo)
    assert set(step_of(ours(), Trace_ELBO())(real(4)).values()) == {"loss"}


@pytest.mark.parametrize("objective", [ELBO(), Trace_ELBO()], ids=["ours", "Pyro's"])
def test_clipping_bounds_the_joint_norm_of_the_mean_gradient(objective):
    moves = []
    for clip_norm in (None, 1e9, 0.25):
        pair = ours()
        before = torch.cat([p.detach().flatten() for p in parameters(pair)])
        pyro.set_rng_seed(1)
        step_of(pair, objective, torch.optim.SGD, clip_norm)(real())
        moves.append(torch.cat([p.detach().flatten() for p in parameters(pair)]) - before)
    free, loose, tight = moves
    assert torch.equal(free, loose) and free.norm() > 0.1 * 0.25
    assert tight.norm().item() == pytest.approx(0.1 * 0.25, rel=1e-4)
    torch.testing.assert_close(tight / tight.norm(), free / free.norm(), rtol=1e-3, atol=1e-5)


def test_gradients_do_not_add_up_over_steps():
    pair = ours()
    take = step_of(pair, TraceMeanField_ELBO(), torch.optim.SGD)
    for group in take.optimizer.param_groups:
        group["lr"] = 0.0
    gradients = []
    for _ in range(2):
        pyro.set_rng_seed(1)
        take(real())
        gradients.append([p.grad.clone() for p in parameters(pair) if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_loss_that_is_not_finite_changes_nothing():
    pair = ours()
    take = step_of(pair, ELBO())
    take(real())
    before = trained(pair)
    state = {k: v.clone() for k, v in take.optimizer.state[parameters(pair)[0]].items()}
    with pyro.validation_enabled(False):
        assert not take(real() * float("inf")).loss.isfinite()
    assert same(trained(pair), before)
    assert same(take.optimizer.state[parameters(pair)[0]], state)


# -- within a run ------------------------------------------------------------------------------


def plant(step: int, value: float) -> AtStep:
    """Put a number into the batch of one step."""

    def act(x: Tensor) -> Tensor:
        x = x.clone()
        x[1, 2] = value
        return x

    return AtStep(step, act)


def run(pair: Any, x: Tensor | None = None, **options: Any):
    settings = {"epochs": 4, "batch_size": 20, "lr": 1e-2, "progress": False, **options}
    return fit(*pair, real() if x is None else x, **settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [1, 3, 4, 8, 12])
def test_a_planted_number_stops_the_run_at_its_step(tmp_path: Path, value: float, at: int):
    pair, path = ours(), tmp_path / "run.pt"
    good = trained(ours())
    complete = (at - 1) // 3
    if complete:
        twin = ours()
        run(twin, epochs=complete, schedule="constant")
        good = trained(twin)
    with pytest.raises(TrainingError) as caught:
        run(pair, transform=plant(at, value), schedule="constant", checkpoint=path)
    kept = f"; {path} holds step {3 * complete}" if complete else ""
    assert str(caught.value) == (
        f"the loss is nan at step {at}: the data contain {value} (epoch {complete + 1}); the "
        f"weights are again those after step {3 * complete}{kept}; "
        "try a smaller lr, or clip_norm"
    )
    assert same(trained(pair), good)
    assert path.exists() == bool(complete)
    if complete:
        assert load(path)["step"] == 3 * complete


def test_a_rate_far_too_high_stops_with_finite_weights_and_a_finite_checkpoint(tmp_path: Path):
    pair, path = ours(), tmp_path / "run.pt"
    with pytest.raises(TrainingError, match=r"^the loss is (nan|inf) at step \d+: ") as caught:
        run(pair, lr=1e30, checkpoint=path)
    assert "\n" not in str(caught.value)
    assert all(v.isfinite().all() for v in trained(pair).values())
    assert not path.exists()


class Root(nn.Module):
    """Its value is finite where its gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LATENT, FEATURES)
        self.offset = nn.Parameter(torch.zeros(FEATURES))
        self.poison = False

    def forward(self, z: Tensor) -> Tensor:
        zero = (self.offset * 0).sum()
        return self.linear(z) + (zero.sqrt() if self.poison else zero)


def test_a_gradient_that_is_not_finite_is_found_even_at_the_last_step():
    """The loss never shows it: the last step's gradient alone makes the weights NaN."""
    pair = ours()
    pair[0].likelihood.network = Root()
    twin = ours()
    twin[0].likelihood.network = Root()
    twin[0].load_state_dict(pair[0].state_dict())
    run(twin, epochs=3, schedule="constant")

    poison = AtStep(12, lambda _: setattr(pair[0].likelihood.network, "poison", True))
    with pytest.raises(TrainingError, match=r"^parameter '.*offset' is not finite after") as caught:
        run(pair, transform=poison, schedule="constant")
    assert " step 12 (epoch 4); the weights are again those after step 9;" in str(caught.value)
    assert same(trained(pair), trained(twin))


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_is_not_finite_is_found_at_the_next_step(clip_norm):
    pair = ours()
    pair[0].likelihood.network = Root()
    pair[0].likelihood.network.poison = True
    with pytest.raises(TrainingError, match=r"at step 2: parameter '.*' is not finite"):
        run(pair, clip_norm=clip_norm)
    assert all(v.isfinite().all() for v in trained(pair).values())


def test_the_site_where_it_began_is_named():
    """The guide divides by zero for one example, and everything after it follows from that."""

    class Divide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(FEATURES, 2 * LATENT)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) / (x[:, :1] - 50)

    pair = ours()
    pair[1].posterior.network = Divide()
    with pytest.raises(TrainingError, match=r"nan at step 5: site 'z': the loc of Normal in the "):
        run(pair, transform=AtStep(5, lambda x: torch.full_like(x, 50.0)))
    assert all(v.isfinite().all() for v in trained(pair).values())


def test_an_overflow_in_the_model_is_named():
    class Overflow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(LATENT, FEATURES)
            self.factor = 1.0

        def forward(self, z: Tensor) -> Tensor:
            return self.linear(z) * self.factor

    pair = ours()
    network = pair[0].likelihood.network = Overflow()
    overflow = AtStep(2, lambda _: setattr(network, "factor", float("inf")))
    with pytest.raises(TrainingError, match=r"site 'x': the loc of Normal in the model is not fin"):
        run(pair, transform=overflow)


@pytest.mark.parametrize("objective", [Trace_ELBO(), TraceMeanField_ELBO()])
def test_pyros_objectives_stop_with_the_same_error_and_no_warning_besides(objective):
    with pytest.raises(TrainingError, match=r"^the loss is nan at step 5: the data contain nan"):
        run(ours(), objective=objective, transform=plant(5, float("nan")))


def test_ctrl_c_keeps_no_weights_that_are_not_finite(tmp_path: Path):
    """The gradient of step 4 spoils the weights, and Ctrl-C comes before a loss could show it."""
    pair, path = ours(), tmp_path / "run.pt"
    pair[0].likelihood.network = Root()

    def spoil(_: Tensor) -> None:
        pair[0].likelihood.network.poison = True
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(TrainingError, match=r"offset' is not finite after step 4 \(epoch 2\)"):
        run(pair, transform=AtStep(4, spoil), checkpoint=path)
    assert load(path)["step"] == 3
    assert all(v.isfinite().all() for v in trained(pair).values())


def test_a_draw_that_refuses_nan_is_the_same_error():
    """A Bernoulli latent: torch raises on NaN probabilities before there is a loss."""
    logits = nn.Parameter(torch.zeros(()))
    decoder = nn.Linear(1, FEATURES)

    def model(x):
        pyro.module("refusing.decoder", decoder)
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(x.new_full((), 0.5)))
            pyro.sample("x", dist.Normal(decoder(b[:, None]), 1.0).to_event(1), obs=x)

    def guide(x):
        q = pyro.param("refusing.logits", logits)
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=q.expand(len(x))))

    class Break:
        """After the first epoch a weight becomes NaN, as by a bad gradient."""

        def log(self, row, step):
            logits.data.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"'refusing.logits' is not finite at step 4 \(Exp"):
        run((model, guide), loggers=[Break()])
    assert logits.isfinite()


def test_buffers_are_put_back_too():
    pair, twin = noisy(), noisy()
    x = (real() > 1).float()
    run(twin, x, epochs=1, schedule="constant")
    with pytest.raises(TrainingError):
        run(pair, x, transform=plant(5, float("nan")), schedule="constant")
    assert same(trained(pair), trained(twin))


def test_other_errors_of_the_programs_are_left_as_they_are():
    def fail(x: Tensor) -> None:
        raise RuntimeError("the disk with the masks is gone")

    with pytest.raises(RuntimeError, match=r"^the disk with the masks is gone$"):
        run(ours(), transform=AtStep(2, fail))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that passes for a device whose values are read only at every third step."""
    monkeypatch.setattr(loop, "LOOK_EVERY", 3)
    for module in (loop, step):
        monkeypatch.setattr(module, "reads_at_once", lambda device: False)


@pytest.mark.parametrize(("at", "found"), [(1, 3), (3, 3), (4, 6), (7, 8), (8, 8), (9, 11)])
def test_on_a_gpu_what_is_not_finite_is_found_at_the_next_look(gpu, at, found):
    """60 examples in steps of 8: looks at steps 3, 6, 8, and 11, 14, 16 of the second epoch."""
    pair = ours()
    good = trained(pair)
    if at > 8:
        twin = ours()
        run(twin, epochs=1, batch_size=8, schedule="constant")
        good = trained(twin)
    with pytest.raises(TrainingError, match=f"^the loss is nan at step {found}: "):
        run(pair, batch_size=8, transform=plant(at, float("nan")), schedule="constant")
    assert same(trained(pair), good)


def test_on_a_gpu_an_infinity_that_passes_by_is_found_too(gpu):
    """One loss is infinite and its gradient is not; the next losses are finite again."""
    pair = ours()
    pair[0].likelihood.log_scale.requires_grad_(False)
    offset = torch.zeros(())
    pair[0].likelihood.network.register_forward_hook(lambda net, inputs, output: output + offset)

    def transform(x: Tensor) -> Tensor:
        return there(back(x))

    there = AtStep(1, lambda _: [offset.fill_(1e30)])
    back = AtStep(2, lambda _: [offset.zero_()])
    line = r"^a loss before step 3 was not finite: no site shows it in another run"
    with pytest.raises(TrainingError, match=line):
        run(pair, batch_size=8, transform=transform)
