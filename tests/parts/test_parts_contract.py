"""What every prior, posterior and likelihood promises: a new part joins by existing.

A part whose constructor takes more than ``latent`` or ``network`` says in ``BUILD`` how it is made.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator

import pyro
import pytest
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vae import likelihoods, posteriors, priors
from pyro_vae.likelihoods import Likelihood, Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior

LATENT, EVENT = 2, (2, 3)
BATCHES = [(), (4,), (3, 4), (2, 1, 4)]

#: Parts, or settings of parts, that need more than the defaults below.
BUILD: dict[str, Callable[[], nn.Module]] = {
    "Normal(scale=0.3)": lambda: Normal(MLP(LATENT, EVENT, [5]), scale=0.3),
    "Normal(scale='per-dimension')": lambda: Normal(
        MLP(LATENT, EVENT, [5]), scale="per-dimension", initial=0.7
    ),
}


def parts(package: object, base: type[nn.Module]) -> Iterator[type[nn.Module]]:
    """Every concrete subclass of ``base`` that the package defines, exported or not."""
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = issubclass(found, base) and found.__module__ == module.name
            if own and not getattr(found.forward, "__isabstractmethod__", False):
                yield found


PRIORS = {part.__name__: part for part in parts(priors, Prior)}
POSTERIORS = {part.__name__: part for part in parts(posteriors, Posterior)}
LIKELIHOODS = {part.__name__: part for part in parts(likelihoods, Likelihood)}
CLASSES = {**PRIORS, **POSTERIORS, **LIKELIHOODS}
BUILT = [*CLASSES, *(name for name in BUILD if name not in CLASSES)]


def build(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    if name in BUILD:
        return BUILD[name]()
    if name in PRIORS:
        return PRIORS[name](LATENT)
    if name in POSTERIORS:
        return POSTERIORS[name](MLP(EVENT, POSTERIORS[name].outputs(LATENT), [5]))
    return LIKELIHOODS[name](MLP(LATENT, LIKELIHOODS[name].outputs(EVENT), [5]))


def inputs(part: nn.Module, batch: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    if isinstance(part, Prior):
        return ()
    event = EVENT if isinstance(part, Posterior) else (LATENT,)
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(*batch, *event, generator=generator, dtype=torch.float64).to(dtype),)


def call(part: nn.Module, batch: tuple[int, ...] = (4,), dtype: torch.dtype = torch.float32):
    return part(*inputs(part, batch, dtype))


def event_of(part: nn.Module) -> tuple[int, ...]:
    return EVENT if isinstance(part, Likelihood) else (LATENT,)


def draw(part: nn.Module, dtype: torch.dtype = torch.float32) -> Tensor:
    """What the part may give for four examples."""
    torch.manual_seed(3)
    return call(part, dtype=dtype).sample((4,) if isinstance(part, Prior) else ())


def test_there_are_parts():
    assert {"StandardNormal"} <= PRIORS.keys() and {"DiagonalNormal"} <= POSTERIORS.keys()
    assert {"Bernoulli", "Normal"} <= LIKELIHOODS.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_it_is_exported_and_documented_with_an_example(name):
    part = CLASSES[name]
    package = {Prior: priors, Posterior: posteriors, Likelihood: likelihoods}[
        next(base for base in (Prior, Posterior, Likelihood) if issubclass(part, base))
    ]
    assert getattr(package, name) is part and name in package.__all__
    doc = inspect.getdoc(part) or ""
    purpose = doc.partition("\n\n")[0]
    assert doc is not inspect.getdoc(part.__mro__[1])
    assert purpose.endswith(".") and "\n" not in purpose, "one line of purpose comes first"
    assert f"{name}(" in doc.partition(">>>")[2], "a runnable example builds the part"
    assert "Args:" in doc


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("name", BUILT)
def test_shapes_under_any_leading_dimensions(name, batch):
    part = build(name)
    fn = call(part, batch)
    assert isinstance(fn, TorchDistributionMixin)
    assert fn.batch_shape == (() if isinstance(part, Prior) else batch)
    assert fn.event_shape == event_of(part)
    draws = fn.sample((7,))
    assert draws.shape == (7, *fn.batch_shape, *fn.event_shape)
    assert fn.log_prob(draws).shape == (7, *fn.batch_shape)


@pytest.mark.parametrize("name", [name for name in BUILT if name not in PRIORS])
def test_each_example_stands_by_itself(name):
    part = build(name).double()
    (given,) = inputs(part, (3, 4), torch.float64)
    fn = part(given)
    draws = fn.sample()
    alone = torch.stack(
        [
            torch.stack([part(one).log_prob(draw) for one, draw in zip(row, drawn, strict=True)])
            for row, drawn in zip(given, draws, strict=True)
        ]
    )
    torch.testing.assert_close(fn.log_prob(draws), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BUILT)
def test_double_makes_every_number_double(name):
    part = build(name)
    value = draw(part)
    single = call(part).log_prob(value)
    part.double()
    double = call(part, dtype=torch.float64).log_prob(value.double())
    assert double.dtype == draw(part, torch.float64).dtype == torch.float64
    # A few dozen operations on numbers of size 1, in 7 digits.
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BUILT)
def test_to_moves_everything(name):
    part = build(name).to("meta")
    # Checks of values read them, and there are none on this device.
    with pyro.validation_enabled(False):
        fn = part(*(given.to("meta") for given in inputs(part, (4,), torch.float32)))
        value = fn.sample()
        assert value.device.type == "meta"
        assert fn.log_prob(value).device.type == "meta"


@pytest.mark.parametrize("name", BUILT)
def test_state_dict_round_trip(name):
    part, other = build(name, seed=0), build(name, seed=1)
    value = draw(part)
    if list(part.parameters()):
        assert not torch.equal(call(part).log_prob(value), call(other).log_prob(value))
    other.load_state_dict(part.state_dict())
    assert torch.equal(call(part).log_prob(value), call(other).log_prob(value))


@pytest.mark.parametrize("name", BUILT)
def test_a_deep_copy_has_its_own_numbers(name):
    part = build(name)
    twin, value = copy.deepcopy(part), draw(part)
    before = call(part).log_prob(value)
    assert torch.equal(before, call(twin).log_prob(value))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.5)
    assert torch.equal(before, call(part).log_prob(value))
    if list(part.parameters()):
        assert not torch.equal(before, call(twin).log_prob(value))


@pytest.mark.parametrize("name", [name for name in BUILT if list(build(name).parameters())])
def test_gradients_are_finite_and_reach_every_parameter(name):
    part = build(name)
    call(part).log_prob(draw(part)).sum().backward()
    for parameter_name, parameter in part.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_posterior_that_is_reparameterised_is_so_in_every_parameter(name):
    part = build(name)
    q = call(part)
    if not q.has_rsample:
        assert not q.sample().requires_grad
        return
    q.rsample().square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in part.parameters())


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("latent", [1, 2, 5])
def test_outputs_of_a_posterior_is_what_forward_needs(name, latent):
    part = POSTERIORS[name](MLP(EVENT, POSTERIORS[name].outputs(latent), []))
    assert part(torch.zeros(4, *EVENT)).event_shape == (latent,)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("event", [(1,), (6,), (4, 5), (1, 4, 5)], ids=str)
def test_outputs_of_a_likelihood_is_what_forward_needs(name, event):
    part = LIKELIHOODS[name](MLP(LATENT, LIKELIHOODS[name].outputs(event), []))
    assert part(torch.zeros(4, LATENT)).event_shape == event


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_draws_the_kind_of_data_that_it_says(name):
    part = build(name)
    draws = call(part).sample((20,))
    inside = {
        "binary": lambda x: (x == 0) | (x == 1),
        "grey": lambda x: (x >= 0) & (x <= 1),
        "counts": lambda x: (x >= 0) & (x == x.round()),
        "real": torch.isfinite,
    }
    assert part.values in inside
    assert inside[part.values](draws).all()


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("latent", [0, -1])
def test_a_prior_needs_a_latent_dimension(name, latent):
    with pytest.raises(ValueError, match=r"latent .* at least 1"):
        PRIORS[name](latent)
