"""How many examples the scaled sums of a bound stand for."""

from __future__ import annotations

from torch import Tensor

from .errors import ProgramError
from .site import SiteTerm
from .table import Terms


def batch_size(terms: Terms) -> int:
    """How many examples the mini-batch has.

    Raises :class:`ProgramError` where no plate holds them.
    """
    for site in terms.values():
        if site.per_example:
            for frame in site.site["cond_indep_stack"]:
                if frame.name == terms.data_plate:
                    return int(frame.size)
    raise ProgramError(
        "no plate holds the examples, over which this objective takes a mean: put "
        '`with pyro.plate("data", len(x)):` around the sites'
    )


def counted(terms: Terms) -> float | Tensor:
    """How many examples the scaled sums stand for: the batch's, times the scale of its plate."""
    inside = [site for site in terms.values() if site.per_example]
    size = batch_size(terms)
    latent = [site for site in inside if site.kind != "observed"]
    return size * (latent[0].scale_q if latent else inside[0].scale_p)


def check_scale(site: SiteTerm) -> None:
    """Raise where the model and the guide scale a latent differently."""
    p, q = site.scale_p, site.scale_q
    # To compare tensors would be to read them, within a step.
    known = isinstance(p, int | float) and isinstance(q, int | float)
    if site.kind == "latent" and known and p != q:
        raise ProgramError(
            f"site {site.name!r} is scaled by {p:g} in the model and {q:g} in the guide, so its "
            "KL has no one weight: weight the KL in the objective, not by poutine.scale"
        )
