"""Objectives whose gradient takes the guide's samples as given."""

from __future__ import annotations

from typing import Any

import torch
from pyro.poutine.messenger import Messenger

from pyro_vae.terms.passes import Program
from pyro_vae.terms.table import Terms

from .base import Objective


class FixedSamples(Objective):
    """A bound that no gradient reaches through a sample, so that latents may be discrete too.

    To add one: implement ``bound``, and begin it with ``require_fixed(terms)``.
    """

    weighs_samples = True

    def labels(self, terms: Terms) -> dict[str, str]:
        return {site.name: "fixed samples" for site in terms.of_kind("latent", "auxiliary")}

    def terms(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
        """The term table, at samples without a gradient."""
        with _Fix():
            return super().terms(model, guide, *args, **kwargs)


class _Fix(Messenger):
    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and isinstance(msg["value"], torch.Tensor):
            msg["value"] = msg["value"].detach()


def require_fixed(terms: Terms) -> None:
    """Raise ``ValueError`` where a gradient could reach the guide through a sample."""
    for _, guide in terms.traces:
        sites: dict[str, Any] = guide.nodes
        for name in terms:
            if name in sites and sites[name]["value"].requires_grad:
                raise ValueError(
                    f"the sample of site {name!r} carries a gradient that this objective does not "
                    "follow: make its terms by objective.terms(model, guide, ...)"
                )
