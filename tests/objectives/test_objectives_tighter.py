"""Tighter bounds: one weight for each example, every kind of program, stock SVI, compiled."""

from __future__ import annotations

import itertools

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES, Case, binary
from linear_gaussian_programs import known
from pyro.infer import SVI
from pyro.infer import RenyiELBO as PyroRenyi
from pyro.infer import ReweightedWakeSleep as PyroWakeSleep
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_vae.objectives import ELBO
from pyro_vae.objectives.chi import ChiUpperBound
from pyro_vae.objectives.importance import ImportanceWeightedELBO
from pyro_vae.objectives.partial import CIWAE, MIWAE, PIWAE
from pyro_vae.objectives.renyi import RenyiELBO
from pyro_vae.objectives.thermodynamic import ThermodynamicELBO
from pyro_vae.objectives.wake_sleep import WakeSleepELBO
from pyro_vae.schedules import Linear
from pyro_vae.terms import ProgramError
from pyro_vae.training.compiled import CompiledSVI

OBJECTIVES = {
    "IWAE": lambda **o: ImportanceWeightedELBO(4, **o),
    "IWAE-STL": lambda **o: ImportanceWeightedELBO(4, "stl", **o),
    "IWAE-DReG": lambda **o: ImportanceWeightedELBO(4, "dreg", **o),
    "MIWAE": lambda **o: MIWAE(2, 2, **o),
    "PIWAE": lambda **o: PIWAE(2, 2, **o),
    "CIWAE": lambda **o: CIWAE(Linear(100, start=1.0, stop=0.1), 4, **o),
    "Renyi": lambda **o: RenyiELBO(0.5, 4, **o),
    "Renyi-1": lambda **o: RenyiELBO(1, 4, **o),
    "CUBO": lambda **o: ChiUpperBound(2.0, 4, **o),
    "TVO": lambda **o: ThermodynamicELBO(4, 3, **o),
    "wake": lambda **o: WakeSleepELBO(4, **o),
    "wake-sleep": lambda **o: WakeSleepELBO(4, sleep=0.5, **o),
}
#: A value of each needs no dream, and takes no gradient through a sample.
VALUED = [name for name in OBJECTIVES if name != "wake-sleep"]
PATHWISE = ("IWAE-STL", "IWAE-DReG")
GLOBAL = ("auxiliary",)
LEVELS = ("hierarchical", "hierarchical-bottom-up")


def cases(name: str) -> list[str]:
    """The programs of the catalogue that this objective takes."""
    found = [case for case in CASES if case not in GLOBAL]
    return [case for case in found if not (case == "discrete" and name in PATHWISE)]


class Given(Messenger):
    """Puts given noise in the place of the guide's, so that an example's draws are its own."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.noise = noise

    def _pyro_post_sample(self, msg) -> None:
        q = msg["fn"]
        if isinstance(q, dist.MultivariateNormal):  # of the guide; the model is replayed
            msg["value"] = q.loc + (q.scale_tril @ self.noise.unsqueeze(-1)).squeeze(-1)


def rows(pair, x: Tensor, index: Tensor, size: int | None):
    """The same programs, on some of the rows, as a mini-batch of ``size`` or on their own."""

    def plate():
        if size is None:
            return pyro.plate("data", len(index))
        return pyro.plate("data", size, subsample=index)

    def model(x: Tensor) -> None:
        with plate():
            z = pyro.sample("z", dist.Normal(x.new_zeros(3), 1.0).to_event(1))
            mean = z @ pair.truth.W.T + pair.truth.mean
            pyro.sample("x", dist.Normal(mean, pair.truth.sigma).to_event(1), obs=x[index])

    def guide(x: Tensor) -> None:
        mean, covariance = pair.truth.posterior(x[index])
        with plate():
            pyro.sample("z", dist.MultivariateNormal(mean, 1.7 * covariance))

    return model, guide, x


def value(objective, programs, noise: Tensor) -> float:
    with Given(noise):
        return -objective.loss(*programs)


@pytest.mark.parametrize("name", VALUED)
def test_an_example_has_the_same_bound_alone_in_a_batch_and_subsampled(name):
    objective = OBJECTIVES[name]()
    pair, n = known(n=12), 12
    noise = torch.randn(4, n, 3, dtype=torch.float64)
    alone = [
        value(objective, rows(pair, pair.x, torch.tensor([i]), None), noise[:, i : i + 1])
        for i in range(n)
    ]
    whole = value(objective, rows(pair, pair.x, torch.arange(n), None), noise)
    assert whole == pytest.approx(sum(alone), rel=1e-12)
    index = torch.tensor([7, 2, 11, 5])
    part = value(objective, rows(pair, pair.x, index, n), noise[:, index])
    assert part == pytest.approx(n / 4 * sum(alone[i] for i in index.tolist()), rel=1e-12)


def test_trap_06_renyi_under_subsampling():
    """Trap 6: the plate's scale goes into the power, so there is no bound of log p(x) at all."""
    pair, n = known(n=12), 12
    index, noise = torch.tensor([7, 2, 11, 5]), torch.randn(1000, 4, 3, dtype=torch.float64)
    programs = rows(pair, pair.x, index, n)
    evidence = 3 * pair.truth.log_evidence(pair.x[index]).sum().item()
    options = {"vectorize_particles": True, "max_plate_nesting": 1}
    # So it is far above what it should be below: the third power belongs to an upper bound.
    assert value(PyroRenyi(0.0, num_particles=1000, **options), programs, noise) > evidence + 1.0
    wanted = 3 * value(RenyiELBO(0.0, 1000), rows(pair, pair.x, index, None), noise)
    assert value(RenyiELBO(0.0, 1000), programs, noise) == pytest.approx(wanted, rel=1e-12)
    assert wanted < evidence + 0.5  # 1,000 particles are some tenths off


def coins(n: int):
    """A discrete latent with one parameter that all examples share."""
    logit = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)

    def model(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(x.new_tensor(0.4)))
            pyro.sample("x", dist.Normal(b, 0.5), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=logit + 0.0 * x))

    class Fixed(Messenger):
        def __init__(self, b: Tensor) -> None:
            super().__init__()
            self.b = b

        def _pyro_post_sample(self, msg) -> None:
            if msg["name"] == "b":
                msg["value"] = self.b

    return model, guide, logit, Fixed


def test_trap_07_wake_sleep_has_one_weight_for_each_example():
    """Trap 7: Pyro's weighs whole mini-batches, so one good example outvotes the others."""
    model, guide, logit, fixed = coins(6)
    x = torch.linspace(-0.5, 1.5, 6, dtype=torch.float64)
    b = (torch.rand(4, 6, dtype=torch.float64) < 0.5).double()

    def gradient(objective, x: Tensor, b: Tensor) -> float:
        logit.grad = None
        with fixed(b):
            objective.loss_and_grads(model, guide, x)
        assert logit.grad is not None
        return logit.grad.item()

    naive = PyroWakeSleep(
        num_particles=4, model_has_params=False, vectorize_particles=True, max_plate_nesting=1
    )
    for objective, separate in ((naive, False), (WakeSleepELBO(4), True)):
        each = sum(gradient(objective, x[i : i + 1], b[:, i : i + 1]) for i in range(6))
        whole = gradient(objective, x, b)
        assert (whole == pytest.approx(each, rel=1e-9)) is separate
        assert separate or abs(whole - each) > 0.05 * abs(each)


@pytest.mark.parametrize("vectorize", [True, False])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_trap_09_every_bound_has_a_differentiable_loss(name, vectorize):
    """Trap 9: `objective(model, guide)(x)`, and that on every program of the catalogue."""
    for case_name in cases(name):
        if name == "wake-sleep" and case_name == "bare-subsampled":
            continue  # the plate is longer than what it observes
        pyro.clear_param_store()
        case = CASES[case_name]()
        objective = OBJECTIVES[name](vectorize=vectorize)
        module = objective(case.model, case.guide)
        module(*case.args).backward()
        store = dict(pyro.get_param_store().named_parameters()).values()
        found = [p.grad for p in (*module.parameters(), *store) if p.grad is not None]
        assert found and all(gradient.isfinite().all() for gradient in found), case_name
        assert any(gradient.any() for gradient in found), case_name
        pyro.set_rng_seed(3)
        loss = objective.loss(case.model, case.guide, *case.args)
        pyro.set_rng_seed(3)
        again = objective.loss_and_grads(case.model, case.guide, *case.args)
        assert loss == pytest.approx(again, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0, 2.0])
@pytest.mark.parametrize("name", ["ours-bernoulli", "bare", "hierarchical", "bare-masked"])
def test_renyi_equals_pyro_without_subsampling(name, alpha):
    torch.set_default_dtype(torch.float64)
    try:
        case = CASES[name]().double()
        found = []
        for objective in (
            RenyiELBO(alpha, 5),
            PyroRenyi(alpha, num_particles=5, vectorize_particles=True, max_plate_nesting=1),
        ):
            pyro.set_rng_seed(7)
            loss = objective.loss_and_grads(case.model, case.guide, *case.args)
            parameters = dict(pyro.get_param_store().named_parameters())
            gradients = {n: p.grad for n, p in parameters.items() if p.grad is not None}
            found.append((loss, gradients))
            for parameter in parameters.values():
                parameter.grad = None
        (ours, our_gradients), (theirs, their_gradients) = found
        assert ours == pytest.approx(theirs, abs=1e-6)
        assert our_gradients.keys() == their_gradients.keys() and our_gradients
        for key, gradient in our_gradients.items():
            torch.testing.assert_close(gradient, their_gradients[key], rtol=1e-6, atol=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_ends_of_the_families_are_each_other():
    """Renyi of order 1 and 0, MIWAE and PIWAE of one group, CIWAE at 0 and 1, TVO of one term."""
    case = CASES["ours-bernoulli"]()

    def gradients(objective) -> list[Tensor]:
        for program in (case.model, case.guide):
            program.zero_grad()
        pyro.set_rng_seed(5)
        loss = objective.loss_and_grads(case.model, case.guide, *case.args)
        parameters = [*case.model.parameters(), *case.guide.parameters()]
        return [torch.tensor(loss), *(p.grad.clone() for p in parameters)]

    elbo, iwae = ELBO("sampled", particles=6), ImportanceWeightedELBO(6)
    for one, other in (
        (RenyiELBO(1, 6), elbo),
        (RenyiELBO(0, 6), iwae),
        (MIWAE(6, 1), elbo),
        (MIWAE(1, 6), iwae),
        (PIWAE(1, 6), iwae),
        (CIWAE(1.0, 6), elbo),
        (CIWAE(0.0, 6), iwae),
        (ImportanceWeightedELBO(1), ELBO("sampled")),
    ):
        for a, b in zip(gradients(one), gradients(other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    values = [gradients(objective)[0] for objective in (ThermodynamicELBO(6, 1), elbo)]
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_stock_svi_and_three_compiled_steps(name):
    for case_name in ("ours-bernoulli", "hierarchical", "discrete"):
        if case_name not in cases(name):
            continue
        pyro.clear_param_store()
        case = CASES[case_name]()
        adam = pyro.optim.Adam({"lr": 1e-3})
        stock = SVI(case.model, case.guide, adam, OBJECTIVES[name]())
        assert stock.step(*case.args) == pytest.approx(stock.step(*case.args), rel=1.0)
        objective = OBJECTIVES[name]()
        compiled = CompiledSVI(case.model, case.guide, adam, objective, backend="none", strict=True)
        losses = [compiled.step(*case.args) for _ in range(3)]
        assert compiled.compilations == 1
        assert torch.tensor(losses).isfinite().all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_compiled_step_moves_as_an_eager_one(name):
    """Also where derivatives are taken within a backward pass: two latents, the same numbers."""
    moved = []
    for compiled in (False, True):
        pyro.clear_param_store()
        case = CASES["hierarchical"]()
        options = {"backend": "none", "strict": True} if compiled else {}
        make = CompiledSVI if compiled else SVI
        adam = pyro.optim.Adam({"lr": 1e-2})
        svi = make(case.model, case.guide, adam, OBJECTIVES[name](), **options)
        for seed in range(4):
            pyro.set_rng_seed(seed)
            svi.step(*case.args)
        store = pyro.get_param_store().named_parameters()
        moved.append({name: parameter.detach().clone() for name, parameter in store})
    for key, parameter in moved[0].items():
        # Adam makes a step of 1e-2 of any gradient, so rounding near zero counts for a part.
        torch.testing.assert_close(moved[1][key], parameter, rtol=1e-3, atol=1e-4, msg=key)


def test_ciwae_follows_its_schedule_when_compiled():
    case = CASES["ours-bernoulli"]()
    objective = CIWAE(Linear(4, start=1.0, stop=0.0), 3)
    adam = pyro.optim.Adam({"lr": 1e-3})
    svi = CompiledSVI(case.model, case.guide, adam, objective, backend="none", strict=True)
    seen = []
    for _ in range(4):
        svi.step(*case.args)
        seen.append(objective.weights()["beta"])
    assert seen[0] == 1.0


def enumerated(objective_value, k: int) -> float:
    """The exact gradient of an expectation over k coins of the guide, in its logit."""
    logit = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    q = dist.Bernoulli(logits=logit)
    both = torch.tensor([0.0, 1.0], dtype=torch.float64)
    log_w = dist.Bernoulli(torch.tensor(0.4, dtype=torch.float64)).log_prob(both)
    log_w = log_w + dist.Normal(both, 0.5).log_prob(torch.tensor(0.9)) - q.log_prob(both)
    total = torch.zeros((), dtype=torch.float64)
    for drawn in itertools.product((0, 1), repeat=k):
        index = torch.tensor(drawn)
        probability = q.log_prob(both[index]).sum().exp()
        total = total + probability * objective_value(log_w[index].unsqueeze(-1)).squeeze()
    (gradient,) = torch.autograd.grad(total, logit)
    return gradient.item()


def coin_gradients(objective, n: int = 100_000) -> Tensor:
    """Draws of the gradient, one for each copy of one datum."""
    logits = torch.full((n,), -0.7, dtype=torch.float64, requires_grad=True)

    def model(x):
        with pyro.plate("data", n):
            b = pyro.sample("b", dist.Bernoulli(x.new_tensor(0.4)))
            pyro.sample("x", dist.Normal(b, 0.5), obs=x)

    def guide(x):
        with pyro.plate("data", n):
            pyro.sample("b", dist.Bernoulli(logits=logits))

    x = torch.full((n,), 0.9, dtype=torch.float64)
    (-objective.differentiable_loss(model, guide, x)).backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize(
    ("objective", "reduction"),
    [
        (ImportanceWeightedELBO(1), lambda w: w[0]),
        (ImportanceWeightedELBO(3), lambda w: RenyiELBO(0.0).power_mean(w)),
        (RenyiELBO(0.5, 3), lambda w: RenyiELBO(0.5).power_mean(w)),
        (MIWAE(2, 2), MIWAE(2, 2).mean_of_bounds),
        (PIWAE(2, 2), MIWAE(2, 2).mean_of_bounds),
        (CIWAE(0.3, 3), CIWAE(0.3, 3).mixture),
    ],
    ids=lambda o: type(o).__name__,
)
def test_discrete_latents_have_the_exact_gradient(objective, reduction):
    """Against enumeration, within 4 standard errors: a false alarm in 16,000."""
    draws = coin_gradients(objective)
    error = draws.std() / len(draws) ** 0.5
    expected = enumerated(reduction, objective.particles)
    assert abs(draws.mean().item() - expected) < 4 * error.item()


def test_the_leave_one_out_baseline_lowers_the_variance(monkeypatch):
    with_it = coin_gradients(ImportanceWeightedELBO(8), 20_000).var()
    monkeypatch.setattr(
        "pyro_vae.terms.log_weights._leave_one_out", lambda w, _: torch.zeros_like(w)
    )
    assert coin_gradients(ImportanceWeightedELBO(8), 20_000).var() > 2 * with_it


@pytest.mark.parametrize("sleep", [0.0, 0.5, 1.0])
def test_wake_sleep_learns_the_exact_posterior_of_a_coin(sleep):
    """q(b=1|x) = sigmoid(a + c x) holds the exact posterior, whose log-odds are linear in x."""
    weights = nn.Parameter(torch.zeros(2))

    def model(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))
            pyro.sample("x", dist.Normal(b, 1.0), obs=x)

    def guide(x):
        pyro.param("weights", weights)
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=weights[0] + weights[1] * x))

    torch.manual_seed(2)
    x = (torch.rand(4000) < 0.5).float() + torch.randn(4000)
    particles = 1 if sleep == 1.0 else 20
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), WakeSleepELBO(particles, sleep))
    for _ in range(150):
        svi.step(x)
    # log p(b=1|x) / p(b=0|x) = x - 1/2. Both are within some hundredths after so many examples.
    torch.testing.assert_close(weights.detach(), torch.tensor([-0.5, 1.0]), rtol=0, atol=0.15)


class Both(nn.Module):
    """A guide whose network keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.out = nn.BatchNorm1d(6), nn.Linear(6, 4)

    def case(self) -> Case:
        decoder = nn.Linear(2, 6)

        def model(x):
            pyro.module("both.decoder", decoder)
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

        def guide(x):
            pyro.module("both.encoder", self)
            with pyro.plate("data", len(x)):
                loc, raw = self.out(self.norm(x)).chunk(2, -1)
                pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

        return Case(model, guide, (binary(),))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_running_statistics_change_once(name):
    both = Both()
    case = both.case()
    OBJECTIVES[name]().differentiable_loss(case.model, case.guide, *case.args).backward()
    counted = both.norm.num_batches_tracked.item()
    other = Both()
    case = other.case()
    ELBO(particles=4).differentiable_loss(case.model, case.guide, *case.args).backward()
    assert counted == other.norm.num_batches_tracked.item()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_latent_outside_the_data_plate_is_refused_by_name(name):
    case = CASES["auxiliary"]()
    with pytest.raises(ProgramError, match=r"^site 'shift' lies outside the data plate"):
        OBJECTIVES[name]().loss(case.model, case.guide, *case.args)


@pytest.mark.parametrize("name", PATHWISE)
def test_samples_without_a_gradient_are_refused_by_name(name):
    case = CASES["discrete"]()
    with pytest.raises(ProgramError, match=r"^site 'b' is not reparameterised") as caught:
        OBJECTIVES[name]().loss(case.model, case.guide, *case.args)
    assert "gradient='pathwise'" in str(caught.value)


def test_sites_with_scales_of_their_own_are_refused_by_name():
    case = CASES["bare"]()
    model = pyro.poutine.scale(case.model, scale=2.0)
    with pytest.raises(ProgramError, match=r"^site 'z' is scaled by 1 and others by 2"):
        ImportanceWeightedELBO().loss(model, case.guide, *case.args)


@pytest.mark.parametrize("name", ["CUBO", "TVO", "wake"])
def test_samples_that_carry_a_gradient_are_refused(name):
    case, objective = CASES["ours-bernoulli"](), OBJECTIVES[name]()
    terms = ELBO(particles=4).terms(case.model, case.guide, *case.args)
    with pytest.raises(ValueError, match=r"objective\.terms"):
        objective.bound(terms)


def test_a_dream_needs_the_data_as_an_argument():
    case = CASES["ours-bernoulli"]()

    def model(x):
        return case.model(x.clone())

    with pytest.raises(ProgramError, match=r"^site 'x' does not observe an argument as it is"):
        WakeSleepELBO(2, sleep=0.5).differentiable_loss(model, case.guide, *case.args)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ImportanceWeightedELBO(0), "particles is a whole number"),
        (lambda: ImportanceWeightedELBO(gradient="path"), "gradient is one of 'pathwise'"),
        (lambda: MIWAE(0, 3), "outer is a whole number"),
        (lambda: PIWAE(2, 1.5), "inner is a whole number"),
        (lambda: CIWAE(1.5), "beta is a part, from 0 to 1, not 1.5"),
        (lambda: RenyiELBO(float("nan")), "alpha is a finite number"),
        (lambda: ChiUpperBound(1.0), "order is a number above 1"),
        (lambda: ChiUpperBound(2.0, 1), "particles is at least 2"),
        (lambda: ThermodynamicELBO(1), "particles is at least 2"),
        (lambda: ThermodynamicELBO(partitions=0), "partitions is a whole number"),
        (lambda: ThermodynamicELBO(first=1.0), "first lies between 0 and 1"),
        (lambda: WakeSleepELBO(5, sleep=2.0), "sleep is a part, from 0 to 1"),
        (lambda: WakeSleepELBO(1), "particles is at least 2"),
    ],
)
def test_bad_options(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
