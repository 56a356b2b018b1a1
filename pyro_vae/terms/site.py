"""One row of the term table: what one site adds to the bound."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.util import scale_and_mask
from torch import Tensor
from torch.distributions import kl_divergence

from .passes import PARTICLES

Kind = Literal["observed", "latent", "auxiliary"]


class SiteTerm:
    r"""What one site adds to the bound, per particle and per example.

    Every tensor has shape ``(particles, batch)``; a site outside the data plate, shared by all
    examples, has ``(particles, 1)``. Nats, without the scale of subsampling or of
    ``poutine.scale`` (that is ``scale_p`` and ``scale_q``), and zero where ``poutine.mask`` masks.

    Attributes:
        name: the site.
        kind: ``"observed"`` (in the model), ``"latent"`` (in both programs) or ``"auxiliary"``
            (in the guide alone).
        plates: names of the plates around it, outermost first.
        event_shape: shape of one event.
        p, q: the distributions in the model and in the guide, ``None`` where it is absent.
        value: what was sampled or observed.

    The logarithms are computed when they are read, and once.
    """

    def __init__(
        self, name: str, kind: Kind, pairs: list[tuple[Any, Any]], data: str | None
    ) -> None:
        self.name = name
        self.kind = kind
        self._pairs = pairs
        self._data = data
        site = self.site
        frames = [frame for frame in site["cond_indep_stack"] if frame.name != PARTICLES]
        self.plates: tuple[str, ...] = tuple(frame.name for frame in frames)
        self.event_shape: torch.Size = site["fn"].event_shape
        self.value: Tensor = site["value"]

    @property
    def site(self) -> dict[str, Any]:
        """Pyro's own record of the site, the model's where there is one."""
        model_site, guide_site = self._pairs[0]
        return model_site if model_site is not None else guide_site

    @property
    def p(self) -> TorchDistribution | None:
        site = self._pairs[0][0]
        return None if site is None else site["fn"]

    @property
    def q(self) -> TorchDistribution | None:
        site = self._pairs[0][1]
        return None if site is None else site["fn"]

    @property
    def scale_p(self) -> float | Tensor:
        """The weight that subsampling plates and ``poutine.scale`` put on log p."""
        return common_scale(self._pairs[0][0])

    @property
    def scale_q(self) -> float | Tensor:
        """The weight that subsampling plates and ``poutine.scale`` put on log q and on the KL."""
        return common_scale(self._pairs[0][1])

    @property
    def per_example(self) -> bool:
        """Whether the site lies inside the data plate."""
        return self._data is not None and self._data in self.plates

    @property
    def reparameterized(self) -> bool:
        """Whether gradients flow through the guide's sample."""
        return self.q is not None and self.q.has_rsample

    @cached_property
    def log_p(self) -> Tensor | None:
        """log p of the site's value given its parents."""
        if self.p is None:
            return None
        return self._rows([(model, log_prob(model)) for model, _ in self._pairs])

    @cached_property
    def log_q(self) -> Tensor | None:
        """log q of the site's value given x and the guide's earlier sites."""
        if self.q is None:
            return None
        return self._rows([(guide, log_prob(guide)) for _, guide in self._pairs])

    @cached_property
    def entropy(self) -> Tensor | None:
        """The part of log q whose gradient is followed: all of it where q is reparameterised."""
        if self.q is None or self.reparameterized:
            return self.log_q
        terms = [(guide, score_parts(guide).entropy_term) for _, guide in self._pairs]
        return self._rows(
            # Pyro writes the number 0 where nothing is followed.
            [(g, t if isinstance(t, Tensor) else torch.zeros_like(log_prob(g))) for g, t in terms]
        )

    @cached_property
    def kl(self) -> Tensor | None:
        """KL(q||p) in closed form, ``None`` where PyTorch has none for this pair of families."""
        if self.p is None or self.q is None or self.kind != "latent":
            return None
        try:
            values = [kl_divergence(guide["fn"], model["fn"]) for model, guide in self._pairs]
        except NotImplementedError:
            return None
        return self._rows(
            [
                (guide, scale_and_mask(value, _own_scale(guide), guide["mask"]))
                for value, (_, guide) in zip(values, self._pairs, strict=True)
            ]
        )

    def _rows(self, values: list[tuple[Any, Tensor]]) -> Tensor:
        rows = [per_example(value, site["cond_indep_stack"], self._data) for site, value in values]
        return rows[0] if len(rows) == 1 else torch.cat(rows)


def log_prob(site: Any) -> Tensor:
    """log-probability of a traced site, masked, not scaled, with the shape of its plates."""
    if "unscaled_log_prob" not in site:
        site["unscaled_log_prob"] = site["fn"].log_prob(
            site["value"], *site["args"], **site["kwargs"]
        )
    return scale_and_mask(site["unscaled_log_prob"], _own_scale(site), site["mask"])


def common_scale(site: Any) -> float | Tensor:
    """A scale that is one number for the whole site, to be applied by the objective."""
    scale = 1.0 if site is None else site["scale"]
    return 1.0 if isinstance(scale, Tensor) and scale.numel() > 1 else scale


def _own_scale(site: Any) -> float | Tensor:
    """A scale that differs between elements is a weight inside the site, like a soft mask."""
    scale = site["scale"]
    return scale if isinstance(scale, Tensor) and scale.numel() > 1 else 1.0


def score_parts(site: Any) -> Any:
    """Pyro's split of log q into what is followed pathwise and what by the score function."""
    parts = site["fn"].score_parts(site["value"], *site["args"], **site["kwargs"])
    return parts.scale_and_mask(_own_scale(site), site["mask"])


def per_example(value: Tensor, frames: Any, data: str | None) -> Tensor:
    """Sum a site's plate-shaped value to ``(particles, batch)``."""
    dims = {frame.name: frame.dim for frame in frames if frame.vectorized}
    keep = {dims.get(PARTICLES), dims.get(data) if data else None}
    summed = [dim for dim in range(-value.dim(), 0) if dim not in keep]
    if summed:
        value = value.sum(summed)
    if dims.get(PARTICLES) is None:
        value = value.unsqueeze(0)
    return value if data in dims else value.unsqueeze(-1)
