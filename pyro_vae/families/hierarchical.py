"""Latents in layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.programs import VAE
from pyro_vae.programs.hierarchical import Guide, LadderGuide, Model

from .base import Family
from .layers import kept_from_the_top, kl_of_layers
from .parts import Parts
from .view import Finding, View


class hierarchical(Family):
    """Latents in layers, z1 nearest the data: p(zL) ... p(z1|z2) p(x|z1).

    A layer may stay unused: the report says so. Letting its KL in slowly helps, as with
    --objective SiteBetaELBO --objective.betas.z1 Linear --objective.betas.z1.length 300.

    Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders*; Sønderby, Raiko,
    Maaløe, Sønderby and Winther 2016, *Ladder Variational Autoencoders*.

    Args:
        layers: latent dimensions of each layer, z1 first; by default --latent and half of it.
        inference: from the top down, with the model's own layers (ladder), or from the bottom up.
        width: numbers in each layer of the ladder's way up.

    >>> hierarchical(layers=[32, 16]).layers
    (32, 16)
    """

    latent = None
    withheld: ClassVar[Mapping[str, str]] = {
        "log_joint": "it has a latent in each layer",
        "posterior": "its prior is of the top latent, which its guide draws from the layers below",
    }

    def __init__(
        self,
        layers: Sequence[int] | None = None,
        inference: Literal["ladder", "bottom_up"] = "ladder",
        width: int = 128,
    ) -> None:
        if layers is not None and not (len(layers) and min(layers) >= 1):
            raise ValueError(f"--program.layers are numbers of at least 1, not {list(layers)}")
        if width < 1:
            raise ValueError(f"--program.width is at least 1, not {width}")
        self.layers = None if layers is None else tuple(layers)
        self.inference = inference
        self.width = width

    def programs(self, parts: Parts) -> VAE:
        sizes = self.layers or (parts.latent, max(1, parts.latent // 2))
        layers = [DiagonalNormal(parts.inner(above, 2 * below)) for below, above in pairwise(sizes)]
        model = Model(parts.prior(sizes[-1]), layers, parts.likelihood(sizes[0]))
        if self.inference == "bottom_up":
            first = parts.posterior(parts.shape, sizes[0])
            rest = [parts.upper_posterior(below, above) for below, above in pairwise(sizes)]
            return VAE(model, Guide([first, *rest]))
        if parts.named("posterior") != "DiagonalNormal":
            raise ValueError(
                f"--posterior {parts.named('posterior')} cannot stand in a ladder, which "
                "multiplies diagonal normals: leave it out, or give --program.inference bottom_up"
            )
        up = [parts.encoder(parts.shape, self.width)]
        up += [parts.inner(self.width, self.width) for _ in sizes[1:]]
        posteriors = [parts.upper_posterior(self.width, size) for size in sizes]
        return VAE(model, LadderGuide(up, posteriors, model.layers))

    def findings(self, view: View) -> list[Finding]:
        return kl_of_layers(view)

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        yield from kept_from_the_top(view)
