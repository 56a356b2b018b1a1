"""How much a latent says about the example, from one mini-batch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .counts import batch_size
from .errors import ProgramError
from .site import SiteTerm
from .table import Terms


def cross_log_q(terms: Terms, site: SiteTerm) -> Tensor:
    r"""log q(z_i|x_j) of each example's draw under each example's posterior, nats.

    Shape ``(particles, i, j)``. Where the guide draws the site from other latents, these are
    j's own. Raises :class:`ProgramError` for a site without one value for each example.
    """
    others = [plate for plate in site.plates if plate != terms.data_plate]
    if site.q is None or not site.per_example or others:
        raise ProgramError(
            f"site {site.name!r} has no one posterior for each example: sample it in the guide, "
            'inside `with pyro.plate("data", len(x))` and no other plate (.to_event)'
        )
    size, particles = batch_size(terms), terms.particles // len(terms.traces)
    rows = []
    for _, guide in terms.traces:
        record: Any = guide.nodes[site.name]
        (dim,) = [f.dim for f in record["cond_indep_stack"] if f.name == terms.data_plate]
        place = dim - len(site.event_shape)
        # z_i goes to the front, and a new dimension stands where the posteriors' j is.
        each = record["fn"].log_prob(record["value"].movedim(place, 0).unsqueeze(place))
        rows.append(each.reshape(size, particles, size).transpose(0, 1))
    return torch.cat(rows)


def first_latent(terms: Terms) -> SiteTerm:
    """The latent that the guide draws first: its distribution depends on x alone.

    Raises :class:`ProgramError` where there is none.
    """
    for name in terms.traces[0][1].nodes:
        if name in terms and terms[name].kind == "latent" and terms[name].per_example:
            return terms[name]
    raise ProgramError(
        'the guide draws no latent for each example, inside `with pyro.plate("data", len(x))`'
    )


def mutual_information(terms: Terms, site: SiteTerm | None = None) -> Tensor:
    r"""The mutual information of x and z under q, estimated from one mini-batch of B, nats.

    .. math:: I_q(x; z) \approx \frac 1B \sum_i \log q(z_i|x_i)
              - \log \frac 1B \sum_j q(z_i|x_j), \qquad z_i \sim q(z|x_i)

    At most log B, which it approaches from below: take as many examples as fit. ``site`` is the
    first latent that the guide draws, unless another is given. Hoffman and Johnson 2016, *ELBO
    surgery: yet another way to carve up the variational evidence lower bound*.
    """
    site = first_latent(terms) if site is None else site
    cross = cross_log_q(terms, site)
    own = cross.diagonal(dim1=-2, dim2=-1)
    return (own - torch.logsumexp(cross, -1) + math.log(cross.shape[-1])).mean()
