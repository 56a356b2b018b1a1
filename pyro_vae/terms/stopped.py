"""The part of a gradient that flows through the guide's samples, and the part that does not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .errors import ProgramError
from .site import log_prob, per_example
from .table import Terms
from .through import Graph, Through


def stopped_log_q(terms: Terms) -> dict[str, Tensor]:
    r"""log q of each site of the guide, whose gradient flows through the samples alone.

    .. math:: \log q_{\bar\phi}(z_\phi | x), \qquad
        \nabla_\phi = \sum_i \frac{\partial \log q}{\partial z_i} \frac{d z_i}{d\phi}

    with :math:`\bar\phi` held fixed: what sticking the landing and doubly reparameterised
    gradients are made of. Values are those of ``site.log_q``, ``(particles, batch)``, nats; a site
    that is not reparameterised has no samples to flow through.

    The guide is not run again, so random numbers, dropout masks, running statistics and
    subsamples are those of the terms, however the guide holds its parameters. The density of a
    flow is taken at a sample that its cache does not know, because what the cache holds depends on
    the flow's parameters: the flow is inverted (one pass a dimension for an inverse
    autoregressive one).

    Raises :class:`ProgramError` naming the site, where a guide's family knows the density of no
    other sample than its own draw.

    Source: Roeder, Wu and Duvenaud 2017, *Sticking the Landing*.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro_vae.terms import site_terms
    >>> scale = torch.tensor(2.0, requires_grad=True)
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, scale))
    >>> terms = site_terms(model, guide, torch.zeros(1))
    >>> (g,) = torch.autograd.grad(stopped_log_q(terms)["z"].sum(), scale)
    >>> torch.allclose(g, -(terms["z"].value / 2) ** 2 / 2)    # -z/4 dz, and dz is z/2
    True
    """
    sites = terms.of_kind("latent", "auxiliary")
    rows = {site.name: _known(site.log_q) for site in sites}  # before a flow's cache is overwritten
    if not torch.is_grad_enabled():
        return {name: row.detach() for name, row in rows.items()}
    samples = _samples(terms)
    leaves = [[value.detach().requires_grad_() for _, value in group] for group in samples]
    outputs = {name: _at(terms, name, samples, leaves) for name in rows}
    return _through(rows, outputs, samples, leaves)


def stopped_log_p(terms: Terms) -> dict[str, Tensor]:
    r"""log p of each site of the model, whose gradient flows through the guide's samples alone.

    Values are those of ``site.log_p``, ``(particles, batch)``, nats; the model's parameters are
    held fixed. ``log_p - stopped_log_p`` has the other part of the gradient, the model's.
    """
    rows = {s.name: _known(s.log_p) for s in terms.values() if s.log_p is not None}
    if not torch.is_grad_enabled():
        return {name: row.detach() for name, row in rows.items()}
    return _through(rows, rows, _samples(terms), [])


def _known(row: Tensor | None) -> Tensor:
    assert row is not None
    return row


def _samples(terms: Terms) -> list[list[tuple[str, Tensor]]]:
    """For each trace, the samples that a gradient can flow through, in the order of drawing."""
    groups = []
    for _, guide in terms.traces:
        sites: dict[str, Any] = guide.nodes
        named = [(name, sites[name]["value"]) for name in sites if name in terms]
        groups.append([(name, value) for name, value in named if value.requires_grad])
    return groups


def _at(
    terms: Terms,
    name: str,
    samples: list[list[tuple[str, Tensor]]],
    leaves: list[list[Tensor]],
) -> Tensor:
    """log q of a site with its own sample cut off from the graph, ``(particles, batch)``."""
    rows = []
    for (_, guide), drawn, cut in zip(terms.traces, samples, leaves, strict=True):
        site: Any = dict(guide.nodes[name])
        names = [other for other, _ in drawn]
        if name in names:
            site["value"] = cut[names.index(name)]
            site.pop("unscaled_log_prob", None)
        try:
            value = log_prob(site)
        except (KeyError, NotImplementedError, ValueError) as error:
            raise ProgramError(
                f"site {name!r} has no density at a given value in the guide, which this gradient "
                "needs: take gradient='pathwise', or a posterior whose maps can be inverted"
            ) from error
        rows.append(per_example(value, site["cond_indep_stack"], terms.data_plate))
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _through(
    rows: dict[str, Tensor],
    outputs: dict[str, Tensor],
    samples: list[list[tuple[str, Tensor]]],
    leaves: list[list[Tensor]],
) -> dict[str, Tensor]:
    groups = [[value for _, value in group] for group in samples]
    cut = [leaf for group in leaves for leaf in group]
    graph = Graph(list(rows.values()), list(outputs.values()), groups, cut)
    followed = Through.apply(graph, *(value for group in groups for value in group))
    return dict(zip(rows, followed, strict=True))
