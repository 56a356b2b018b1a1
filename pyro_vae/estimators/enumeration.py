"""Exact sums over the values of discrete sites, inside the term table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from pyro.poutine import Trace
from torch import Tensor

from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.passes import PARTICLES, Call
from pyro_vae.terms.site import Kind, SiteTerm, log_prob
from pyro_vae.terms.table import Terms

from .choice import DRAWN


def enumerated_values(name: str, fn: Any, dim: int) -> Tensor:
    """Every value of a site, along a batch dimension of its own, left of all others."""
    taken = len(fn.batch_shape)
    if taken >= -dim:
        raise ProgramError(
            f"site {name!r} has batch shape {tuple(fn.batch_shape)}, which leaves no dimension for "
            'its values: declare its batch dimensions by plates, pyro.plate("data", len(x))'
        )
    values: Tensor = fn.enumerate_support(expand=False)
    return values.reshape(len(values), *(1 for _ in range(-dim - 1)), *fn.event_shape)


class Marginal:
    r"""Expectation over the enumerated sites of one pass.

    .. math:: \mathbb E[t] = \sum_{y_1} q(y_1) \sum_{y_2} q(y_2|y_1) \cdots t(y_1, y_2, \ldots)

    Sites are summed from the last to the first, since a later one's q may depend on an earlier.
    """

    def __init__(self, guide: Trace) -> None:
        nodes: dict[str, Any] = guide.nodes
        drawn = [s for s in nodes.values() if s["type"] == "sample"]
        self._sites = [s for s in drawn if s["infer"].get(DRAWN) == "enumerated"][::-1]

    def dims(self, value: Tensor) -> set[int]:
        """The dimensions of enumerated sites that a tensor depends on."""
        return {_dim(site) for site in self._sites if _has(value, _dim(site))}

    def expect(self, value: Tensor, keep: Collection[int] = (), frozen: bool = False) -> Tensor:
        """Sum out the enumerated dimensions, but those kept; ``frozen`` takes q as constant."""
        for site in self._sites:
            dim = _dim(site)
            if dim in keep or not _has(value, dim):
                continue
            log_prob(site)
            q = site["unscaled_log_prob"].exp()
            q = q.detach() if frozen else q
            # Where q is 0 a value may be -inf, and counts for nothing.
            value = (q * torch.where(q > 0, value, 0.0)).sum(dim, keepdim=True)
        return value

    def check_plates(self, value: Tensor, of: Any) -> None:
        """Raise where a site outside an enumerated site's plate depends on it.

        It would depend on all of the plate's values jointly, not on one after the other.
        """
        inside = {frame.name for frame in of["cond_indep_stack"]}
        for site in self._sites:
            around = {f.name for f in site["cond_indep_stack"] if f.vectorized}
            outside = sorted(around - inside - {PARTICLES})
            if outside and _has(value, _dim(site)):
                raise ProgramError(
                    f"site {of['name']!r} depends on enumerated site {site['name']!r}, but lies "
                    f"outside its plate {outside[0]!r}: move it into the plate, or use another "
                    f"estimator at {site['name']!r}, such as 'leave-one-out'"
                )


class EnumeratedSite(SiteTerm):
    """A row whose terms are expectations over the enumerated sites."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        pairs: list[tuple[Any, Any]],
        data: str | None,
        marginals: list[Marginal],
    ) -> None:
        super().__init__(name, kind, pairs, data)
        self._marginals = marginals

    def _rows(self, values: list[tuple[Any, Tensor]]) -> Tensor:
        summed = []
        for marginal, (site, value) in zip(self._marginals, values, strict=True):
            marginal.check_plates(value, site)
            summed.append((site, marginal.expect(value)))
        return super()._rows(summed)


class EnumeratedTerms(Terms):
    """A term table whose rows are expectations over the enumerated sites, for each example."""

    def __init__(self, traces: list[tuple[Trace, Trace]], particles: int, call: Call) -> None:
        self.marginals = [Marginal(guide) for _, guide in traces]
        super().__init__(traces, particles, call)

    def _row(self, name: str, kind: Kind) -> SiteTerm:
        pairs = [(p.nodes.get(name), q.nodes.get(name)) for p, q in self.traces]
        if kind == "observed":
            pairs = [(model, None) for model, _ in pairs]
        return EnumeratedSite(name, kind, pairs, self.data_plate, self.marginals)


def marginals_of(terms: Terms) -> list[Marginal]:
    """One for each pass; those of a table without enumerated sites sum nothing."""
    if isinstance(terms, EnumeratedTerms):
        return terms.marginals
    return [Marginal(guide) for _, guide in terms.traces]


def _dim(site: Any) -> int:
    value: Tensor = site["value"]
    return len(site["fn"].event_shape) - value.dim()


def _has(value: Tensor, dim: int) -> bool:
    return value.dim() >= -dim and value.shape[dim] > 1
