"""What every prior, posterior and likelihood promises: a new part joins by existing.

A part whose constructor needs more than ``latent`` or ``network``, or that has several modes,
says so in ``OPTIONS``.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pyro
import pytest
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vae import likelihoods, posteriors, priors
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import MLP
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior

LATENT = 2
BATCHES = [(), (4,), (3, 4), (2, 1, 4)]

#: The settings that a part is tested in; one that is not listed is tested as it comes.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "likelihoods.Normal": [{}, {"scale": 0.3}, {"scale": "per-dimension", "initial": 0.7}],
    "likelihoods.Categorical": [{"levels": 3}],
    "likelihoods.Mixed": [{"families": ["Bernoulli", "Normal", "Categorical:3"]}],
}
#: Event shapes of data; the first is used throughout.
EVENTS: dict[str, list[tuple[int, ...]]] = {"likelihoods.Mixed": [(3,)]}
#: Parts that are made of more than sizes (another part, a log joint, an index), whose density is
#: estimated or that of their own last draw, and the bases of the flows: their own tests hold them
#: to what they promise.
ELSEWHERE = {
    "priors.VampPrior",
    "priors.ResampledPrior",
    "posteriors.AutoregressivePosterior",
    "posteriors.FlowPosterior",
    "posteriors.PerExample",
    "posteriors.SemiAmortized",
    "posteriors.Hamiltonian",
}
ANY_EVENT: list[tuple[int, ...]] = [(2, 3), (1,), (6,), (1, 4, 5)]


def parts(package: object, base: type[nn.Module]) -> Iterator[type[nn.Module]]:
    """Every concrete subclass of ``base`` that the package defines, exported or not."""
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = issubclass(found, base) and found.__module__ == module.name
            if own and not getattr(found.forward, "__isabstractmethod__", False):
                yield found


def named(package: object, base: type[nn.Module]) -> dict[str, type[nn.Module]]:
    """The parts by folder and name, for families such as Laplace stand in several folders."""
    folder = package.__name__.rpartition(".")[2]
    found = {f"{folder}.{part.__name__}": part for part in parts(package, base)}
    return {name: part for name, part in found.items() if name not in ELSEWHERE}


PRIORS = named(priors, Prior)
POSTERIORS = named(posteriors, Posterior)
LIKELIHOODS = named(likelihoods, Likelihood)
CLASSES = {**PRIORS, **POSTERIORS, **LIKELIHOODS}


class Setting:
    """A part in one of its settings; printed as the call that makes it."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.name, self.options, self.kind = name, options, CLASSES[name]
        self.event = EVENTS.get(name, ANY_EVENT)[0]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"

    def build(self, seed: int = 0, event: tuple[int, ...] = (), latent: int = LATENT) -> nn.Module:
        torch.manual_seed(seed)
        event = event or self.event
        if self.name in PRIORS:
            return self.kind(latent, **self.options)
        if self.name in POSTERIORS:
            options = dict(self.options)
            if "latent" in inspect.signature(self.kind).parameters:
                options["latent"] = latent
            outputs = self.kind.outputs(latent, **self.options)
            return self.kind(MLP(event, outputs, [5]), **options)
        outputs = self.kind.outputs(event, **self.options)
        return self.kind(MLP(latent, outputs, [5]), **self.options)

    def inputs(self, batch: tuple[int, ...] = (4,)) -> tuple[Tensor, ...]:
        if self.name in PRIORS:
            return ()
        event = self.event if self.name in POSTERIORS else (LATENT,)
        return (torch.randn(*batch, *event, generator=torch.Generator().manual_seed(1)),)

    def draw(self, part: nn.Module) -> Tensor:
        """What the part may give for four examples."""
        torch.manual_seed(3)
        return part(*self.inputs()).sample((4,) if self.name in PRIORS else ())


def settings(classes: dict[str, type[nn.Module]]) -> list[Setting]:
    return [Setting(name, options) for name in classes for options in OPTIONS.get(name, [{}])]


ALL = settings(CLASSES)


def test_there_are_parts():
    assert "priors.StandardNormal" in PRIORS and "posteriors.DiagonalNormal" in POSTERIORS
    assert {"likelihoods.Bernoulli", "likelihoods.Normal"} <= LIKELIHOODS.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_it_is_exported_and_documented_with_an_example(name):
    part = CLASSES[name]
    package = {Prior: priors, Posterior: posteriors, Likelihood: likelihoods}[
        next(base for base in (Prior, Posterior, Likelihood) if issubclass(part, base))
    ]
    name = part.__name__
    assert getattr(package, name) is part and name in package.__all__
    doc = inspect.getdoc(part) or ""
    purpose = doc.partition("\n\n")[0]
    assert doc is not inspect.getdoc(part.__mro__[1])
    assert purpose.endswith(".") and "\n" not in purpose, "one line of purpose comes first"
    assert f"{name}(" in doc.partition(">>>")[2], "a runnable example builds the part"
    assert "Args:" in doc


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("setting", ALL, ids=repr)
def test_shapes_under_any_leading_dimensions(setting, batch):
    fn = setting.build()(*setting.inputs(batch))
    assert isinstance(fn, TorchDistributionMixin)
    assert fn.batch_shape == (() if setting.name in PRIORS else batch)
    assert fn.event_shape == (setting.event if setting.name in LIKELIHOODS else (LATENT,))
    draws = fn.sample((7,))
    assert draws.shape == (7, *fn.batch_shape, *fn.event_shape)
    assert fn.log_prob(draws).shape == (7, *fn.batch_shape)
    assert fn.log_prob(draws).isfinite().all()


@pytest.mark.parametrize("setting", settings({**POSTERIORS, **LIKELIHOODS}), ids=repr)
def test_each_example_stands_by_itself(setting):
    part = setting.build().double()
    (given,) = (x.double() for x in setting.inputs((3, 4)))
    fn = part(given)
    draws = fn.sample()
    alone = torch.stack(
        [
            torch.stack([part(one).log_prob(draw) for one, draw in zip(row, drawn, strict=True)])
            for row, drawn in zip(given, draws, strict=True)
        ]
    )
    torch.testing.assert_close(fn.log_prob(draws), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("setting", ALL, ids=repr)
def test_double_makes_every_number_double(setting):
    part = setting.build()
    value = setting.draw(part)
    single = part(*setting.inputs()).log_prob(value)
    part.double()
    fn = part(*(x.double() for x in setting.inputs()))
    assert fn.log_prob(value.double()).dtype == torch.float64
    assert fn.sample().dtype == torch.float64
    # A few dozen operations in 7 digits, on log-densities of size 1 to 10.
    torch.testing.assert_close(single.double(), fn.log_prob(value.double()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("setting", ALL, ids=repr)
def test_to_moves_everything(setting):
    part = setting.build()
    value = setting.draw(part).to("meta")
    part.to("meta")
    # Checks of values read them, and there are none on this device.
    with pyro.validation_enabled(False):
        fn = part(*(x.to("meta") for x in setting.inputs()))
        assert fn.log_prob(value).device.type == "meta"
        # PyTorch's sampler of the Dirichlet has no kernel for this device.
        if fn.has_rsample and not setting.name.endswith("Dirichlet"):
            assert fn.rsample().device.type == "meta"


def shake(part: nn.Module) -> None:
    """Other numbers everywhere, by another amount each: equal shifts leave a softmax as it was."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("setting", ALL, ids=repr)
def test_state_dict_round_trip(setting):
    part, other, x = setting.build(seed=0), setting.build(seed=1), setting.inputs()
    value = setting.draw(part)
    shake(other)
    if list(part.parameters()):
        assert not torch.equal(part(*x).log_prob(value), other(*x).log_prob(value))
    other.load_state_dict(part.state_dict())
    assert torch.equal(part(*x).log_prob(value), other(*x).log_prob(value))


@pytest.mark.parametrize("setting", ALL, ids=repr)
def test_a_deep_copy_has_its_own_numbers(setting):
    part, x = setting.build(), setting.inputs()
    twin, value = copy.deepcopy(part), setting.draw(part)
    before = part(*x).log_prob(value)
    assert torch.equal(before, twin(*x).log_prob(value))
    shake(twin)
    assert torch.equal(before, part(*x).log_prob(value))
    if list(part.parameters()):
        assert not torch.equal(before, twin(*x).log_prob(value))


@pytest.mark.parametrize("setting", ALL, ids=repr)
def test_gradients_are_finite_and_reach_every_parameter(setting):
    part = setting.build()
    density = part(*setting.inputs()).log_prob(setting.draw(part)).sum()
    assert density.requires_grad == bool(list(part.parameters()))
    if density.requires_grad:
        density.backward()
    for name, parameter in part.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("setting", settings(POSTERIORS), ids=repr)
def test_a_posterior_that_is_reparameterised_is_so_in_every_parameter(setting):
    part = setting.build()
    q = part(*setting.inputs())
    assert not q.sample().requires_grad
    if q.has_rsample:
        q.rsample().square().sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in part.parameters())


@pytest.mark.parametrize("latent", [1, 2, 5])
@pytest.mark.parametrize("setting", settings({**PRIORS, **POSTERIORS}), ids=repr)
def test_latent_is_what_it_is_told(setting, latent):
    part = setting.build(latent=latent)
    assert part(*setting.inputs()).event_shape == (latent,)


@pytest.mark.parametrize(
    ("setting", "event"),
    [(s, event) for s in settings(LIKELIHOODS) for event in EVENTS.get(s.name, ANY_EVENT)],
    ids=repr,
)
def test_outputs_of_a_likelihood_is_what_forward_needs(setting, event):
    assert setting.build(event=event)(*setting.inputs()).event_shape == event


@pytest.mark.parametrize("setting", settings(LIKELIHOODS), ids=repr)
def test_a_likelihood_draws_the_kind_of_data_that_it_says(setting):
    part = setting.build()
    draws = part(*setting.inputs()).sample((20,))
    inside = {
        "binary": lambda x: (x == 0) | (x == 1),
        "grey": lambda x: (x >= 0) & (x <= 1),
        "counts": lambda x: (x >= 0) & (x == x.round()),
        "real": torch.isfinite,
    }
    assert part.values in inside
    assert inside[part.values](draws).all()


@pytest.mark.parametrize("latent", [0, -1])
@pytest.mark.parametrize("setting", settings(PRIORS), ids=repr)
def test_a_prior_needs_a_latent_dimension(setting, latent):
    with pytest.raises(ValueError, match=r"latent .* at least 1"):
        setting.build(latent=latent)
