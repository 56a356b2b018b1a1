"""Small programs with classes, in double precision, and what their tests have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_vae.likelihoods import Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import Categorical, MixtureOfNormals, StandardNormal
from pyro_vae.programs import clustering, discrete, semi_supervised, vector_quantised
from pyro_vae.programs.code_priors import IndependentCodes
from pyro_vae.programs.codebook import Codebook

LABEL = torch.tensor([0, -1, 2, -1, 1, -1])


def data() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def semi(**options):
    torch.manual_seed(0)
    classes = Categorical(3)
    with torch.no_grad():
        classes.logits.copy_(torch.tensor([0.5, 0.0, -1.0]))
    model = semi_supervised.Model(classes, StandardNormal(2), Normal(MLP(5, 4, [6])))
    posterior = DiagonalNormal(MLP(4 + 3, 4, [6]))
    guide = semi_supervised.Guide(MLP(4, 3, [6]), posterior, **options)
    return model.double(), guide.double(), (data(), LABEL)


def clusters(**options):
    torch.manual_seed(0)
    prior = MixtureOfNormals(2, components=5)
    torch.nn.init.normal_(prior.logits)
    model = clustering.Model(prior, Normal(MLP(2, 4, [6])))
    guide = clustering.Guide(DiagonalNormal(MLP(4, 4, [6])), prior, **options)
    return model.double(), guide.double(), (data(),)


def codes(**options):
    torch.manual_seed(0)
    model = discrete.Model([Categorical(3), Categorical(3)], Normal(MLP(6, 4, [6])))
    with torch.no_grad():
        model.priors[1].logits.copy_(torch.tensor([0.3, 0.0, -0.7]))
    guide = discrete.Guide(MLP(4, (2, 3), [6]), **options)
    return model.double(), guide.double(), (data(),)


def quantised(**options):
    torch.manual_seed(0)
    book = Codebook(size=5, width=2, codes=3)
    model = vector_quantised.Model(IndependentCodes(book), Normal(MLP(6, 4, [6])))
    guide = vector_quantised.Guide(MLP(4, 6, [6]), book, **options)
    return model.double(), guide.double(), (data(),)


FAMILIES = {"semi": semi, "clusters": clusters, "codes": codes, "quantised": quantised}


def parameters(*programs: nn.Module) -> dict[str, nn.Parameter]:
    """Each once, by program and name."""
    return {f"{i}.{name}": p for i, f in enumerate(programs) for name, p in f.named_parameters()}


def gradients(value: Tensor, *programs: nn.Module) -> dict[str, Tensor]:
    named = parameters(*programs)
    found = torch.autograd.grad(value, list(named.values()), allow_unused=True, retain_graph=True)
    return {
        name: torch.zeros_like(p) if g is None else g
        for (name, p), g in zip(named.items(), found, strict=True)
    }


def bound_gradients(objective: ELBO, model, guide, *args) -> dict[str, Tensor]:
    return gradients(-objective.differentiable_loss(model, guide, *args), model, guide)


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-9, atol=1e-10, msg=name)
