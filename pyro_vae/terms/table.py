"""The term table: everything that a bound is a reduction of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pyro.poutine import Trace
from torch import Tensor

from .errors import ProgramError
from .passes import PARTICLES, Call, Program, run
from .site import Kind, SiteTerm


class Terms(Mapping[str, SiteTerm]):
    r"""The term table of one pass: a :class:`SiteTerm` for each site, in the order of sampling.

    .. math::
        \log w = \sum_{\text{observed, latent}} \log p - \sum_{\text{latent, auxiliary}} \log q

    Attributes:
        traces: the pairs ``(model_trace, guide_trace)`` that it was read from.
        particles: how many samples of the guide.
        call: the programs and arguments that were run.
        data_plate: name of the plate of the examples, ``None`` where the programs have none.
    """

    def __init__(self, traces: list[tuple[Trace, Trace]], particles: int, call: Call) -> None:
        self.traces = traces
        self.particles = particles
        self.call = call
        self.data_plate = find_data_plate(traces[0][0])
        self._sites = {name: self._row(name, kind) for name, kind in _names(*traces[0])}

    def _row(self, name: str, kind: Kind) -> SiteTerm:
        pairs = [(p.nodes.get(name), q.nodes.get(name)) for p, q in self.traces]
        if kind == "observed":
            pairs = [(model, None) for model, _ in pairs]
        return SiteTerm(name, kind, pairs, self.data_plate)

    def __getitem__(self, name: str) -> SiteTerm:
        return self._sites[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)

    def of_kind(self, *kinds: Kind) -> list[SiteTerm]:
        """The rows of these kinds."""
        return [site for site in self.values() if site.kind in kinds]

    @property
    def log_weights(self) -> Tensor:
        """log p(x, z) - log q(z|x), shape ``(particles, batch)``, nats.

        Raises :class:`ProgramError` where a latent is shared by all examples: then there is no
        weight for each.
        """
        total: Tensor | float = 0.0
        for site in self.values():
            if not site.per_example:
                raise ProgramError(
                    f"site {site.name!r} lies outside the data plate: importance weights for each "
                    'example need every site inside one `with pyro.plate("data", len(x))`'
                )
            if site.log_p is not None:
                total = total + site.log_p
            if site.log_q is not None:
                total = total - site.log_q
        return torch.as_tensor(total)


def site_terms(
    model: Program,
    guide: Program,
    *args: Any,
    particles: int = 1,
    vectorize: bool = True,
    **kwargs: Any,
) -> Terms:
    """Run the guide, replay the model, and read off every term of the bound.

    Args:
        model, guide: any Pyro programs, called as ``model(*args, **kwargs)``.
        particles: samples of the guide for each example.
        vectorize: draw them in one pass, in a plate left of all others (the networks must take
            one more leading dimension); otherwise in as many passes.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))   # the exact posterior
    >>> terms = site_terms(model, guide, torch.tensor([0.0, 2.0]), particles=3)
    >>> [(name, site.kind, tuple(site.log_p.shape)) for name, site in terms.items()]
    [('z', 'latent', (3, 2)), ('x', 'observed', (3, 2))]
    >>> terms.log_weights        # log p(x) itself, whatever was sampled
    tensor([[-1.2655, -2.2655],
            [-1.2655, -2.2655],
            [-1.2655, -2.2655]])
    """
    call = Call(model, guide, args, kwargs)
    return Terms(run(*call, particles, vectorize), particles, call)


def find_data_plate(model_trace: Trace) -> str | None:
    """The plate of the examples: around every observed site, ``"data"`` or else the outermost."""
    stacks = [
        [f.name for f in site["cond_indep_stack"] if f.vectorized]
        for name, site in model_trace.nodes.items()
        if site["type"] == "sample" and site["is_observed"] and not _silent(site)
    ]
    if not stacks:
        return None
    shared = [n for n in stacks[0] if n != PARTICLES and all(n in stack for stack in stacks)]
    return "data" if "data" in shared else next(iter(shared), None)


def _names(model_trace: Trace, guide_trace: Trace) -> list[tuple[str, Kind]]:
    rows: list[tuple[str, Kind]] = []
    for name, site in model_trace.nodes.items():
        if site["type"] == "sample" and not _silent(site):
            rows.append((name, "observed" if site["is_observed"] else "latent"))
    for name, site in guide_trace.nodes.items():
        if site["type"] == "sample" and name not in model_trace.nodes and not _silent(site):
            rows.append((name, "auxiliary"))
    return rows


def _silent(site: Any) -> bool:
    """`pyro.deterministic` records a value; it has no density."""
    return bool(site["infer"].get("_deterministic"))
