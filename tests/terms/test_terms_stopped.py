"""Gradients through the samples alone, against running both programs again by hand."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES, Case, binary, ours
from compiled_cases import flow as planar_of_pyro
from pyro import poutine
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn

from pyro_vae.networks import MLP
from pyro_vae.posteriors import (
    DiagonalNormal,
    Hamiltonian,
    InverseAutoregressive,
    Planar,
    Sylvester,
)
from pyro_vae.programs import log_joint, vae
from pyro_vae.terms import ProgramError, site_terms
from pyro_vae.terms.passes import plate_nesting
from pyro_vae.terms.stopped import stopped_log_p, stopped_log_q

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


class Noisy(nn.Module):
    """Two latents, a network with dropout and running statistics between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 4)
        self.second = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.out = nn.Linear(8, 4)

    def case(self) -> Case:
        def model(x):
            with pyro.plate("data", 40, subsample_size=5):
                for name in ("z1", "z2"):
                    pyro.sample(name, dist.Normal(x.new_zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(x.new_zeros(6), 1.0).to_event(1), obs=x)

        def guide(x):
            pyro.module("noisy", self)
            with pyro.plate("data", 40, subsample_size=5):
                loc, raw = self.first(x).chunk(2, -1)
                z1 = pyro.sample("z1", dist.Normal(loc, raw.exp()).to_event(1))
                loc, raw = self.out(self.second(z1)).chunk(2, -1)
                pyro.sample("z2", dist.Normal(loc, raw.exp()).to_event(1))

        return Case(model, guide, (binary().double(),))


def test_nothing_is_run_again():
    """So random numbers, dropout masks, running statistics and subsamples are those of the pass."""
    torch.manual_seed(3)
    nets = Noisy()
    case = nets.case()
    terms = site_terms(case.model, case.guide, *case.args)
    buffers = {name: buffer.clone() for name, buffer in nets.named_buffers()}
    state = torch.get_rng_state()
    q, p = stopped_log_q(terms), stopped_log_p(terms)
    sum(q.values(), sum(p.values())).sum().backward()
    assert torch.equal(torch.get_rng_state(), state)
    for name, buffer in nets.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
    assert nets.first.weight.grad is not None and nets.first.weight.grad.isfinite().all()


def test_a_hierarchy_by_hand():
    """z1 = a + e1, z2 = b z1 + e2, log q = -(z2 - b z1)^2 / 2 + ...: z moves, a and b do not."""
    a, b = (torch.tensor(v, requires_grad=True) for v in (0.3, -1.2))

    def model(x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Normal(0.0, 1.0))
            z2 = pyro.sample("z2", dist.Normal(z1, 1.0))
            pyro.sample("x", dist.Normal(z2, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Normal(a, 1.0))
            pyro.sample("z2", dist.Normal(b * z1, 1.0))

    terms = site_terms(model, guide, torch.zeros(7))
    z1, z2 = (terms[name].value.detach() for name in ("z1", "z2"))
    q = stopped_log_q(terms)
    (q["z1"] + q["z2"]).sum().backward(retain_graph=True)
    e1, e2, slope = z1 - a.detach(), z2 - b.detach() * z1, b.detach()
    # dz1 = da, dz2 = b da + z1 db; d log q = -e1 dz1 - e2 (dz2 - b dz1).
    torch.testing.assert_close(a.grad, (-e1 - e2 * (slope - slope)).sum())
    torch.testing.assert_close(b.grad, (-e2 * z1).sum())
    a.grad = b.grad = None
    sum(row.sum() for row in stopped_log_p(terms).values()).backward()
    d1, d2 = -z1 + (z2 - z1), -(z2 - z1) - z2
    torch.testing.assert_close(a.grad, (d1 + slope * d2).sum())
    torch.testing.assert_close(b.grad, (z1 * d2).sum())


def test_without_gradients_it_is_the_value():
    case = build("hierarchical")
    with torch.no_grad():
        terms = site_terms(case.model, case.guide, *case.args, particles=2)
        for name, row in stopped_log_q(terms).items():
            assert torch.equal(row, terms[name].log_q) and not row.requires_grad


@pytest.mark.parametrize("kind", ["planar of Pyro", "Hamiltonian"])
def test_a_density_of_its_own_draws_alone_is_refused_by_name(kind):
    case = planar_of_pyro()
    if kind == "Hamiltonian":
        case = ours().double()
        path = Hamiltonian(DiagonalNormal(MLP(6, 4, [4])), log_joint(case.model))
        case = Case(case.model, vae.Guide(path), case.args)
    terms = site_terms(case.model, case.guide, *case.args)
    with pytest.raises(ProgramError, match=r"^site 'z' has no density at a given value"):
        stopped_log_q(terms)
    assert all(row.isfinite().all() for row in stopped_log_p(terms).values())
