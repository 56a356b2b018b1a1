"""A latent that is several classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from pyro_vae import evaluation
from pyro_vae.priors import Categorical
from pyro_vae.programs import VAE
from pyro_vae.programs.discrete import Guide, Model

from .base import Family
from .estimator import Estimator, at_the_site
from .grids import grid
from .parts import Parts
from .view import Finding, View, line

#: Rows of the picture.
ROWS = 8


class discrete(Family):
    """A latent of several classes, c1 to cM, each one of K: p(c1) ... p(cM) p(x|c).

    The exact sum, ``enumerate``, is over all K to the power of M codes.

    Jang, Gu and Poole 2017, *Categorical Reparameterization with Gumbel-Softmax*; Mnih and Rezende
    2016, *Variational Inference for Monte Carlo Objectives*.

    Args:
        codes: how many, M.
        classes: of each, K.
        estimator: of the gradient: the exact sum, or an estimate.

    >>> discrete(codes=3, classes=8).codes
    3
    """

    latent = None
    unused: ClassVar[dict[str, str]] = {
        "prior": "each code has its own, of learned class probabilities",
        "posterior": "each code's is categorical",
        "latent": "give --program.codes and --program.classes",
    }

    def __init__(
        self, codes: int = 3, classes: int = 8, estimator: Estimator = "enumerate"
    ) -> None:
        for name, value in {"codes": codes, "classes": classes}.items():
            if value < 1:
                raise ValueError(f"--program.{name} is at least 1, not {value}")
        if estimator == "enumerate" and classes**codes > MANY:
            raise ValueError(
                f"--program.estimator enumerate sums over {classes}^{codes} codes, more than "
                f"{MANY:,}: take fewer, or gumbel-softmax, or leave-one-out with "
                "--objective.particles 4"
            )
        self.codes = codes
        self.classes = classes
        self.estimator = estimator

    def programs(self, parts: Parts) -> VAE:
        network = parts.encoder(parts.shape, (self.codes, self.classes))
        guide = Guide(network, at_the_site(self.estimator))
        priors = [Categorical(self.classes) for _ in range(self.codes)]
        return VAE(Model(priors, parts.likelihood(self.codes * self.classes)), guide)

    def findings(self, view: View) -> list[Finding]:
        codes = torch.stack([self._code(view, m) for m in range(1, self.codes + 1)], -1)
        each = [len(column.unique()) for column in codes.unbind(-1)]
        together = len(codes.unique(dim=0))
        note = f"different ones of {len(codes)} examples; classes used of each: {each}"
        return [
            Finding("codes_used", together, line("codes", str(together), note)),
            Finding("classes_used", each, ""),
        ]

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        if view.image is None:
            return
        m = torch.stack([self._code(view, m) for m in range(1, self.codes + 1)], -1)[:1]
        eye = torch.eye(self.classes).to(view.x)
        rows = []
        for changed in range(self.codes):
            code = m.repeat(self.classes, 1)
            code[:, changed] = torch.arange(self.classes)
            latents = {f"c{i + 1}": eye[code[:, i]] for i in range(self.codes)}
            rows.append(evaluation.decode(view.model, view.x, latents, observed="x"))
        title = "the code of the first example, one class of it changed"
        names = [f"c{i + 1}" for i in range(self.codes)]
        x = torch.stack(rows[:ROWS])
        yield "codes", grid(view, x, title, names[:ROWS], range(self.classes))

    def _code(self, view: View, m: int) -> Tensor:
        """The most probable class of code m for each example."""
        return evaluation.classify(view.guide, *view.arguments, site=f"c{m}").argmax(-1)


#: Codes above which the exact sum would take too long, and too much memory.
MANY = 4096
