"""What is common to penalties on the batch of z: which z, how they scale, what is refused."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from penalty_programs import Toy, loss_of, normal, points, slopes
from pyro import poutine
from pyro.contrib.gp.kernels import RBF as RBFKernel
from pyro.infer import Trace_MMD

from pyro_vae.objectives import ELBO, explain
from pyro_vae.objectives.adversarial import AdversarialELBO
from pyro_vae.objectives.dip import DIPELBO
from pyro_vae.objectives.factor import FactorELBO
from pyro_vae.objectives.info import InfoELBO
from pyro_vae.objectives.kernels import RBF, InverseMultiquadratic
from pyro_vae.objectives.mmd import mmd
from pyro_vae.objectives.total_correlation import TotalCorrelationELBO
from pyro_vae.objectives.wasserstein import WassersteinELBO
from pyro_vae.terms import ProgramError
from pyro_vae.terms.latents import posterior_draws, prior_draws

MAKE = {
    "info": lambda **options: InfoELBO(0.3, 5.0, **options),
    "wasserstein": lambda **options: WassersteinELBO(7.0, **options),
    "total correlation": lambda **options: TotalCorrelationELBO(
        0.5, 4.0, 1.5, examples=60, **options
    ),
    "total correlation, weighted": lambda **options: TotalCorrelationELBO(
        0.5, 4.0, 1.5, examples=60, sampling="weighted", **options
    ),
    "factor": lambda **options: FactorELBO(3.0, torch.nn.Linear(2, 1).double(), **options),
    "adversarial": lambda **options: AdversarialELBO(
        3.0, torch.nn.Linear(2, 1).double(), **options
    ),
    "dip-i": lambda **options: DIPELBO("i", 3.0, 4.0, **options),
    "dip-ii": lambda **options: DIPELBO("ii", 3.0, 4.0, **options),
}
EACH = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def made(make, **options):
    torch.manual_seed(0)
    return make(**options)


@EACH
@pytest.mark.parametrize("options", [{}, {"particles": 3}, {"particles": 2, "vectorize": False}])
def test_gradients_are_those_of_the_value(make, options):
    slope, difference = slopes(made(make, **options), Toy(), points())
    assert slope == pytest.approx(difference, rel=1e-6, abs=1e-6)


@EACH
def test_the_penalty_counts_once_for_each_example_that_the_batch_stands_for(make):
    """The bound over N is the mean ELBO part less the penalty, under subsampling too."""
    x = points()
    plain = loss_of(made(make), Toy(), x)
    pyro.clear_param_store()
    scaled = loss_of(made(make), Toy(total=60), x)
    assert scaled.item() == pytest.approx(10 * plain.item(), rel=1e-12)


@EACH
def test_what_is_reported_is_the_plain_elbo(make):
    toy, x = Toy(), points()
    objective = made(make)
    pyro.set_rng_seed(3)
    terms = objective.terms(toy.model, toy.guide, x)
    objective.prepare(terms)
    bound = objective.bound(terms)
    split = objective.split(terms)
    assert split.elbo.sum().item() == pytest.approx(-loss_of(ELBO(), toy, x).item(), rel=1e-12)
    assert abs(split.elbo.sum().item() - bound.item()) > 1e-3


@EACH
def test_explain_says_nothing_against_it(make):
    toy = Toy()
    assert explain(toy.model, toy.guide, points(), objective=made(make)).problems == []


def test_trap_08_the_aggregate_is_over_the_batch():
    """Trap 8: Trace_MMD compares particles, so with one of them it sees no aggregate at all."""
    x = torch.linspace(-3.0, 3.0, 200, dtype=torch.float64)

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", normal())
            pyro.sample("x", dist.Delta(x), obs=x)

    def guide_of(spread, scale):
        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(spread * x, x.new_tensor(scale)))

        return guide

    right, far = 1 / 3**0.5, 4.0  # uniform with variance 1: near the standard normal; or not
    kernel = RBFKernel(200, lengthscale=torch.tensor(14.0, dtype=torch.float64))
    naive = Trace_MMD(kernel, num_particles=50, max_plate_nesting=1)
    collapsed, spread = (naive.loss(model, guide_of(*q), x) for q in ((0.0, 1.0), (right, 0.1)))
    assert spread > 0.5 and collapsed < 0.1  # the aggregate is right in both

    objective = WassersteinELBO(1.0)
    losses = {
        q: objective.loss(model, guide_of(*q), x) / 200
        for q in ((0.0, 1.0), (right, 0.1), (far, 0.1), (0.0, 0.1))
    }
    good = max(abs(losses[0.0, 1.0]), abs(losses[right, 0.1]))
    assert losses[far, 0.1] > 10 * good and losses[0.0, 0.1] > 10 * good


def test_draws_are_of_the_batch_and_of_the_models_own_prior():
    loc = torch.tensor([40.0, -40.0], dtype=torch.float64)
    toy = Toy(prior=lambda: dist.Normal(loc, 1.0).to_event(1))
    x = points(50)
    for particles, vectorize in ((1, True), (3, True), (3, False)):
        objective = WassersteinELBO(particles=particles, vectorize=vectorize)
        terms = objective.terms(toy.model, toy.guide, x)
        z, prior = posterior_draws(terms, terms["z"]), prior_draws(terms, terms["z"])
        assert z.shape == prior.shape == (particles, 50, 2)
        found = [g.nodes["z"]["value"].reshape(-1, 50, 2) for _, g in terms.traces]
        assert torch.equal(z, torch.cat(found))
        # 50 draws or more: the mean has a standard error of 0.14 at most.
        assert (prior.mean((0, 1)) - loc).abs().max() < 0.7
        assert prior.std((0, 1)).sub(1.0).abs().max() < 0.5


@pytest.mark.parametrize("options", [{}, {"particles": 3}, {"particles": 3, "vectorize": False}])
def test_info_and_wasserstein_are_their_formulas(options):
    toy, x = Toy(), points()

    def parts(objective):
        pyro.set_rng_seed(3)
        terms = objective.terms(toy.model, toy.guide, x)
        z, prior = posterior_draws(terms, terms["z"]), prior_draws(terms, terms["z"])
        split = objective.split(terms)
        return split.reconstruction.sum(), split.kl.sum(), z, prior

    objective = InfoELBO(0.25, 4.0, **options)
    reconstruction, kl, z, prior = parts(objective)
    distance = torch.stack([mmd(a, b, RBF()) for a, b in zip(z, prior, strict=True)]).mean()
    expected = reconstruction - 0.75 * kl - 6 * 3.25 * distance
    assert loss_of(objective, toy, x).item() == pytest.approx(-expected.item(), rel=1e-12)

    objective = WassersteinELBO(2.0, **options)
    reconstruction, _, z, prior = parts(objective)
    kernel = InverseMultiquadratic()
    distance = torch.stack([mmd(a, b, kernel) for a, b in zip(z, prior, strict=True)]).mean()
    expected = reconstruction - 6 * 2.0 * distance
    assert loss_of(objective, toy, x).item() == pytest.approx(-expected.item(), rel=1e-12)


def test_info_at_its_corner_is_the_elbo():
    toy, x = Toy(), points()
    expected = loss_of(ELBO(), toy, x).item()
    assert loss_of(InfoELBO(0.0, 1.0), toy, x).item() == pytest.approx(expected, rel=1e-12)


def test_a_learned_prior_learns_through_its_draws():
    loc = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    toy, x = Toy(prior=lambda: dist.Normal(loc, 1.0).to_event(1)), points()
    (gradient,) = torch.autograd.grad(loss_of(WassersteinELBO(1.0), toy, x), [loc])
    assert gradient.abs().min() > 1e-3


def mixture(loc):
    return dist.MixtureSameFamily(
        dist.Categorical(logits=loc.new_zeros(2)),
        dist.Normal(loc, 1.0).to_event(1),
    )


def test_a_learned_prior_without_reparameterised_draws_is_refused():
    loc = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    toy, x = Toy(prior=lambda: mixture(loc)), points()
    for objective in (InfoELBO(), WassersteinELBO()):
        with pytest.raises(ProgramError, match="prior of site 'z' has trainable parameters, but"):
            loss_of(objective, toy, x)
    loc.requires_grad_(False)
    assert loss_of(WassersteinELBO(), toy, x).isfinite()


def test_a_learned_prior_under_an_adversarial_objective_is_refused():
    loc = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    toy, x = Toy(prior=lambda: dist.Normal(loc, 1.0).to_event(1)), points()
    with pytest.raises(ProgramError, match="'z' has trainable parameters, which AdversarialELBO"):
        loss_of(AdversarialELBO(), toy, x)


class Two(Toy):
    """Two latents in the plate, and one outside."""

    def model(self, x):
        pyro.sample("w", normal())
        with self.plate(x):
            y = pyro.sample("y", normal(2))
            z = pyro.sample("z", dist.Normal(y, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.nets["decoder"](z), 1.0).to_event(1), obs=x)

    def guide(self, x):
        pyro.sample("w", dist.Normal(x.new_tensor(0.5), 1.0))
        with self.plate(x):
            y = pyro.sample("y", self.q(x))
            pyro.sample("z", dist.Normal(y, x.new_tensor(0.5)).to_event(1))


@EACH
def test_several_latents_need_a_choice(make):
    toy, x = Two(), points()
    objective = made(make)
    with pytest.raises(
        ProgramError,
        match=rf"programs have 'y', 'z': choose one, {type(objective).__name__}\(site='y'\)",
    ):
        loss_of(objective, toy, x)
    assert loss_of(made(make, site="y"), toy, x).isfinite()
    with pytest.raises(ProgramError, match=r"'w' does not suit .* outside the data plate"):
        loss_of(made(make, site="w"), toy, x)
    with pytest.raises(
        ProgramError, match=r"there is no such latent site; there are: 'w', 'y', 'z'"
    ):
        loss_of(made(make, site="x"), toy, x)


def test_the_other_latents_count_as_in_the_elbo():
    toy, x = Two(), points()
    pyro.set_rng_seed(3)
    terms = ELBO().terms(toy.model, toy.guide, x)
    split = ELBO().split(terms)
    rest = terms["z"].kl.sum() + terms["w"].kl.sum()
    log_p = terms["x"].log_p.sum()
    loss = loss_of(WassersteinELBO(0.0, site="y"), toy, x)
    assert loss.item() == pytest.approx((rest - log_p).item(), rel=1e-12)
    assert split.kl.sum() > rest


def discrete_pair():
    def model(x):
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(x.new_full((2,), 0.5)).to_event(1))
            pyro.sample(
                "x",
                dist.Normal(b.sum(-1, keepdim=True), 1.0).expand([len(x), 3]).to_event(1),
                obs=x,
            )

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(x[:, :2].sigmoid()).to_event(1))

    return model, guide


@EACH
def test_a_discrete_latent_is_refused(make):
    with pytest.raises(ProgramError, match=r"'b' does not suit .*: 'b' is not reparameterised"):
        made(make).loss(*discrete_pair(), points())


@EACH
def test_a_nested_plate_a_mask_and_weights_are_refused(make):
    def nested(x):
        with pyro.plate("data", len(x), dim=-2), pyro.plate("pixels", 3, dim=-1):
            pyro.sample("z", dist.Normal(x, 1.0))

    def nested_model(x):
        with pyro.plate("data", len(x), dim=-2), pyro.plate("pixels", 3, dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    x = points()
    with pytest.raises(
        ProgramError, match=r"lies in plate 'pixels' .* into the event with .to_event"
    ):
        made(make).loss(nested_model, nested, x)
    toy = Toy()
    handlers = {
        "it is masked": poutine.mask(mask=torch.arange(6) > 2),
        "another weight for each example": poutine.scale(scale=torch.arange(6.0) + 1.0),
    }
    for message, handler in handlers.items():
        with pytest.raises(ProgramError, match=f"'z' does not suit .*{message}"):
            made(make).loss(handler(toy.model), handler(toy.guide), x)


@EACH
def test_one_example_is_refused(make):
    toy = Toy()
    with pytest.raises(
        ProgramError, match=r"compares examples .* has only 1: choose a larger batch"
    ):
        made(make).loss(toy.model, toy.guide, points(1))


@EACH
def test_latents_of_any_event_shape(make):
    """Laid flat."""
    x = points()
    toy = Toy()

    def matrix_model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", normal(2, 1))
            mean = toy.nets["decoder"](z.squeeze(-1))
            pyro.sample("x", dist.Normal(mean, 1.0).to_event(1), obs=x)

    def matrix_guide(x):
        with pyro.plate("data", len(x)):
            loc, raw = toy.nets["encoder"](x).chunk(2, -1)
            q = dist.Normal(loc.unsqueeze(-1), raw.exp().unsqueeze(-1)).to_event(2)
            pyro.sample("z", q)

    objective = made(make)
    pyro.set_rng_seed(3)
    value = objective.differentiable_loss(matrix_model, matrix_guide, x)
    assert value.item() == pytest.approx(loss_of(made(make), toy, x).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InfoELBO(1.5), "alpha must be at most 1"),
        (lambda: InfoELBO(0.0, 0.5), "alpha . scale must be at least 1"),
        (lambda: WassersteinELBO(-1.0), "scale must be at least 0"),
        (lambda: TotalCorrelationELBO(beta=-1.0), "beta must be at least 0"),
        (lambda: TotalCorrelationELBO(examples=0), "examples is a whole number"),
        (lambda: TotalCorrelationELBO(sampling="all"), "sampling is one of 'stratified', 'weigh"),
        (lambda: FactorELBO(-1.0), "gamma must be at least 0"),
        (lambda: FactorELBO(critic_lr=0.0), "critic_lr must be a positive number"),
        (lambda: AdversarialELBO(-1.0), "scale must be at least 0"),
        (lambda: DIPELBO("iii"), "kind is one of 'i', 'ii'"),
        (lambda: DIPELBO("i", -1.0), "off_diagonal must be at least 0"),
        (lambda: DIPELBO("i", 1.0, -1.0), "diagonal must be at least 0"),
        (lambda: DIPELBO(kl="exact"), "kl is one of"),
    ],
)
def test_bad_options(build, message):
    with pytest.raises(ValueError, match=message):
        build()
