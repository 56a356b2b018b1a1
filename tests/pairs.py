"""Pairs of a model and a guide in which one thing at a time is wrong, and many that are right."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from catalogue import CASES, Case, binary, ours
from pyro import poutine
from pyro.infer.autoguide import AutoDelta, AutoNormal, AutoNormalMessenger
from pyro.nn import PyroModule, PyroParam
from torch import Tensor, nn

from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import ConvDecoder, ConvEncoder
from pyro_vae.objectives import ELBO, explain
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

ANALYTIC = ELBO(kl="analytic")


def standard():
    return dist.Normal(torch.zeros(2), 1.0).to_event(1)


class Bare:
    """A model and a guide as functions, in which one thing at a time can be wrong."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def pair(
        self,
        *args: Any,
        prior=standard,
        likelihood=lambda logits: dist.Bernoulli(logits=logits).to_event(1),
        posterior=lambda loc, scale: dist.Normal(loc, scale).to_event(1),
        names: tuple[str, str] = ("z", "z"),
        plates: tuple[str | None, str | None] = ("data", "data"),
        register: bool = True,
        before_guide=lambda x: None,
    ) -> Case:
        def plate(name: str | None, x: Tensor):
            return contextlib.nullcontext() if name is None else pyro.plate(name, len(x))

        def model(x):
            if register:
                pyro.module("decoder", self.decoder)
            with plate(plates[0], x):
                z = pyro.sample(names[0], prior())
                pyro.sample("x", likelihood(self.decoder(z)), obs=x)

        def guide(x):
            if register:
                pyro.module("encoder", self.encoder)
            with plate(plates[1], x):
                before_guide(x)
                loc, raw = self.encoder(x).chunk(2, -1)
                pyro.sample(names[1], posterior(loc, raw.exp()))

        return Case(model, guide, args or (binary(),))


def bare(*args: Any, **options: Any) -> Case:
    return Bare().pair(*args, **options)


def with_data(x: Tensor, case: Case | None = None) -> Case:
    case = case or ours()
    return Case(case.model, case.guide, (x,))


def at(value: float, case: Case | None = None) -> Case:
    """The binary data with one entry changed."""
    x = binary()
    x[1, 2] = value
    return with_data(x, case)


def of_ours(model: vae.Model | None = None, guide: vae.Guide | None = None) -> Case:
    case = ours()
    return Case(model or case.model, guide or case.guide, case.args)


def counts(x: Tensor) -> Case:
    return bare(x, likelihood=lambda rate: dist.Poisson(rate.exp()).to_event(1))


def one_vector(x: Tensor) -> Case:
    return bare(x, likelihood=lambda logits: dist.OneHotCategorical(logits=logits))


def mixture() -> Case:
    def model(x):
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.Categorical(torch.ones(3)))
            pyro.sample("x", dist.Normal(c.float(), 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.Categorical(torch.ones(3)))

    return Case(model, guide, (torch.zeros(4),))


def scaled(model: float, guide: float) -> Case:
    case = bare()
    return Case(
        poutine.scale(case.model, scale=model), poutine.scale(case.guide, scale=guide), case.args
    )


def guide_that(what: str) -> Case:
    """A guide that does with its sites what a guide must not."""
    case, x = bare(), binary()

    def guide(x):
        pyro.module("encoder", nn.Linear(1, 1))
        if what == "nothing":
            return
        data = pyro.plate("data", len(x))
        with data:
            loc = x[:, :2]
            observed = loc if what == "observes" else None
            pyro.sample("z", dist.Normal(loc, 1.0).to_event(1), obs=observed)
            if what == "samples x":
                pyro.sample("x", dist.Bernoulli(torch.full((6,), 0.5)).to_event(1))
        if what == "two plates":
            with pyro.plate("data", len(x)):
                pyro.sample("a", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})

    return Case(case.model, guide, (x,))


def subsampled_model() -> Case:
    case = bare()

    def model(x):
        with pyro.plate("data", 50, subsample=torch.arange(len(x))):
            pyro.sample("z", standard())
            pyro.sample("x", dist.Bernoulli(torch.full((6,), 0.5)).to_event(1), obs=x)

    return Case(model, case.guide, case.args)


def long_plate() -> Case:
    case = bare()

    def guide(x):
        with pyro.plate("data", 7):
            pyro.sample("z", dist.Normal(x[:, :2], 1.0).to_event(1))

    return Case(case.model, guide, case.args)


def blank(case: Case) -> Case:
    """The same pair, but a model that observes nothing."""

    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", standard())

    return Case(model, case.guide, case.args)


def filled(likelihood: nn.Module, value: float) -> Case:
    with torch.no_grad():
        likelihood.log_scale.fill_(value)
    return of_ours(model=vae.Model(StandardNormal(2), likelihood))


def collided() -> Case:
    first = bare()
    explain(first.model, first.guide, *first.args)
    return bare()


class Modules(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(2, 6)
        self.gain = PyroParam(torch.tensor(1.0), constraint=dist.constraints.positive)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", standard())
            logits = self.gain * self.decoder(z)
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def collided_pyro_modules() -> Case:
    case = ours()
    explain(Modules(), case.guide, *case.args)
    return Case(Modules(), case.guide, case.args)


class Tutorial(nn.Module):
    """A class with `model` and `guide` for methods."""

    def __init__(self, register: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.unused = nn.Linear(6, 4), nn.Linear(2, 6), nn.Linear(1, 1)
        self.parts = Bare()
        self.parts.encoder, self.parts.decoder = self.encoder, self.decoder
        self.case = self.parts.pair(register=register)

    def model(self, x):
        return self.case.model(x)

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        return self.case.guide(x)


def tutorial(register: bool) -> Case:
    owner = Tutorial(register)
    return Case(owner.model, owner.guide, (binary(),))


def unregistered() -> Case:
    encoder, decoder = nn.Linear(6, 2), nn.Linear(2, 6)

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", standard())
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(encoder(x), 1.0).to_event(1))

    return Case(model, guide, (binary(),))


def loose_tensor() -> Case:
    logits = torch.zeros(6, requires_grad=True)
    return bare(likelihood=lambda _: dist.Bernoulli(logits=logits).to_event(1))


def channels_last() -> Case:
    torch.manual_seed(0)
    model = vae.Model(StandardNormal(2), Bernoulli(ConvDecoder(2, (8, 8), [8, 4])))
    guide = vae.Guide(DiagonalNormal(ConvEncoder((8, 8), 4, [4, 8])))
    for program in (model, guide):
        program.to(memory_format=torch.channels_last)
    return Case(model, guide, (torch.ones(3, 8, 8),))


def flow() -> Case:
    def posterior(loc, scale):
        tanh = dist.transforms.TanhTransform()
        return dist.TransformedDistribution(dist.Normal(loc, scale), [tanh]).to_event(1)

    return bare(posterior=posterior)


def of_pyro(guide: Any) -> Case:
    case = bare()
    return Case(case.model, guide(case.model), case.args)


def frozen() -> Case:
    case = ours()
    case.model.requires_grad_(False)
    return case


def student() -> Case:
    return bare(prior=lambda: dist.StudentT(3.0, torch.zeros(2), 1.0).to_event(1))


def masked(event_first: bool) -> Case:
    mask = binary().bool()
    if event_first:
        return bare(likelihood=lambda logits: dist.Bernoulli(logits=logits).to_event(1).mask(mask))
    return bare(likelihood=lambda logits: dist.Bernoulli(logits=logits).mask(mask).to_event(1))


GOOD = {
    **CASES,
    "bare functions": bare,
    "plate of another name": lambda: bare(plates=("rows", "rows")),
    "one example": lambda: bare(binary(1)),
    "as many examples as features": lambda: bare(binary(6, 6)),
    "bound methods": lambda: tutorial(register=True),
    "a PyroModule": lambda: Case(Modules(), ours().guide, (binary(),)),
    "functools.partial": lambda: (c := bare()) and Case(partial(c.model), c.guide, c.args),
    "frozen model": frozen,
    "scaled alike": lambda: scaled(2.0, 2.0),
    "mask before to_event": lambda: masked(event_first=False),
    "Student t prior": student,
    "Laplace prior": lambda: bare(prior=lambda: dist.Laplace(torch.zeros(2), 1.0).to_event(1)),
    "full normal prior": lambda: bare(
        prior=lambda: dist.MultivariateNormal(torch.zeros(2), torch.eye(2))
    ),
    "flow": flow,
    "categorical latent": mixture,
    "counts": lambda: counts(binary() * 3),
    "one-hot": lambda: one_vector(torch.eye(6)),
    "AutoNormal": lambda: of_pyro(AutoNormal),
    "AutoDelta": lambda: of_pyro(AutoDelta),
    "AutoNormalMessenger": lambda: of_pyro(AutoNormalMessenger),
}
