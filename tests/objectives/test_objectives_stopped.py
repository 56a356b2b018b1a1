"""Gradients through the samples alone, against running both programs again by hand."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES, Case, binary, ours
from compiled_cases import flow as pyro_flow
from pyro import poutine
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn

from pyro_vae.networks import MLP
from pyro_vae.objectives import ProgramError, site_terms
from pyro_vae.objectives.passes import plate_nesting
from pyro_vae.objectives.stopped import stopped_log_p, stopped_log_q
from pyro_vae.posteriors import Hamiltonian, InverseAutoregressive, Planar, Sylvester
from pyro_vae.programs import vae

#: Sums of some hundred terms in float64, two ways; a planar map's inverse is found by halving.
CLOSE = {"rtol": 1e-8, "atol": 1e-9}


def three_levels() -> Case:
    """Each latent's guide looks at both before it, so that there are ways round."""
    torch.manual_seed(5)
    nets = nn.ModuleList([nn.Linear(6, 4), nn.Linear(8, 4), nn.Linear(10, 4), nn.Linear(6, 6)])

    def model(x):
        pyro.module("levels.model", nets[3])
        with pyro.plate("data", len(x)):
            z = [
                pyro.sample(f"z{i}", dist.Normal(x.new_zeros(2), 1.0).to_event(1)) for i in range(3)
            ]
            logits = nets[3](torch.cat(z, -1))
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x):
        pyro.module("levels.guide", nets[:3])
        with pyro.plate("data", len(x)):
            seen = x
            for i in range(3):
                loc, raw = nets[i](seen).chunk(2, -1)
                z = pyro.sample(f"z{i}", dist.Normal(loc.tanh(), (raw / 4).exp()).to_event(1))
                seen = torch.cat([seen.expand(*z.shape[:-1], seen.shape[-1]), z], -1)

    return Case(model, guide, (binary(),))


def with_posterior(posterior: nn.Module) -> Case:
    case = ours()
    return Case(case.model, vae.Guide(posterior), case.args)


def flow_case(kind) -> Case:
    torch.manual_seed(6)
    return with_posterior(kind(MLP(6, kind.outputs(2), [4]), latent=2))


def pyro_autoregressive() -> Case:
    """A flow of Pyro, whose transforms outlive a pass and remember its sample."""
    torch.manual_seed(7)
    maps = [dist.transforms.affine_autoregressive(2, hidden_dims=[5]) for _ in range(2)]
    nets, case = nn.ModuleList(maps), ours()
    loc = nn.Parameter(torch.zeros(2))

    def guide(x):
        pyro.module("stopped.maps", nets)
        shift = pyro.param("stopped.loc", loc)
        base = dist.Normal(shift, torch.ones_like(shift)).expand([len(x), 2]).to_event(1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.TransformedDistribution(base, maps))

    return Case(case.model, guide, case.args)


def automatic(kind) -> Case:
    case = ours()
    guide = kind(case.model)
    guide(*case.args)
    return Case(case.model, guide, case.args)


MORE = {
    "three levels": three_levels,
    "planar": lambda: flow_case(Planar),
    "sylvester": lambda: flow_case(Sylvester),
    "inverse autoregressive": lambda: flow_case(InverseAutoregressive),
    "Pyro's autoregressive flow": pyro_autoregressive,
    "AutoNormal": lambda: automatic(AutoNormal),
    "AutoMultivariateNormal": lambda: automatic(AutoMultivariateNormal),
}
ALL = {**CASES, **MORE}


@pytest.fixture(autouse=True)
def double():
    """Every number in float64, whatever makes it."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(name: str) -> Case:
    case = ALL[name]()
    for program in (case.model, case.guide):
        for cell in getattr(program, "__closure__", None) or ():
            if isinstance(cell.cell_contents, nn.Module):
                cell.cell_contents.double()
    return case.double()


def leaves_of(terms) -> list[Tensor]:
    """Every trainable tensor that the terms came from."""
    rows = [row for site in terms.values() for row in (site.log_p, site.log_q) if row is not None]
    pending, seen, found = [r.grad_fn for r in rows if r.grad_fn is not None], set(), {}
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        pending += [parent for parent, _ in node.next_functions if parent is not None]
    return list(found.values())


def gradient(rows: dict[str, Tensor], weights: dict[str, Tensor], leaves) -> list[Tensor]:
    total = sum((weights[name] * row).sum() for name, row in rows.items())
    found = (None,) * len(leaves)
    if torch.is_tensor(total) and total.requires_grad:
        found = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]


def direct(case: Case, terms) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Both programs run again, at samples without a graph: log p and log q."""
    p, q = [], []
    for _, guide_trace in terms.traces:
        fixed = guide_trace.copy()
        for site in fixed.nodes.values():
            if site["type"] == "sample":
                site["value"] = site["value"].detach().clone()
        programs = case.model, case.guide
        if terms.particles > 1 and len(terms.traces) == 1:
            dim = -1 - plate_nesting(case.model, case.guide, case.args, {})
            plate = pyro.plate("_particles", terms.particles, dim=dim)
            programs = tuple(plate(program) for program in programs)
        for program, into in zip(programs, (p, q), strict=True):
            trace = poutine.trace(poutine.replay(program, trace=fixed)).get_trace(*case.args)
            into.append(prune_subsample_sites(trace))
    again = type(terms)(list(zip(p, q, strict=True)), terms.particles, terms.call)
    return (
        {name: site.log_p for name, site in again.items() if site.log_p is not None},
        {name: site.log_q for name, site in again.items() if site.log_q is not None},
    )


@pytest.mark.parametrize("particles", [1, 3, -2])
@pytest.mark.parametrize("name", ALL)
def test_it_is_the_whole_gradient_less_that_at_fixed_samples(name, particles):
    case = build(name)
    terms = site_terms(
        case.model, case.guide, *case.args, particles=abs(particles), vectorize=particles > 0
    )
    q = {name: site.log_q for name, site in terms.items() if site.log_q is not None}
    p = {name: site.log_p for name, site in terms.items() if site.log_p is not None}
    leaves = leaves_of(terms)
    assert leaves
    torch.manual_seed(1)
    for rows, stopped, fixed in zip(
        (p, q), (stopped_log_p(terms), stopped_log_q(terms)), direct(case, terms), strict=True
    ):
        assert rows.keys() == stopped.keys() == fixed.keys()
        weights = {name: torch.randn_like(row) for name, row in rows.items()}
        for name, row in rows.items():
            assert torch.equal(row, stopped[name])
        whole, at_fixed = gradient(rows, weights, leaves), gradient(fixed, weights, leaves)
        for a, b, c in zip(gradient(stopped, weights, leaves), whole, at_fixed, strict=True):
            torch.testing.assert_close(a, b - c, **CLOSE)
