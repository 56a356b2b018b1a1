"""What a family is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from pyro_vae import evaluation
from pyro_vae.data import Dataset
from pyro_vae.programs import VAE

from .parts import Parts
from .view import Finding, View

#: A part by its name, and its options.
Spec = tuple[str, dict[str, Any]]


class Family(ABC):
    """How the two programs of one family are assembled, from data and named parts.

    A class has the name of its programs' module, so that what one types, what a configuration
    holds and where one reads the programs are one word. To add one: a file with one class that

    * takes in its constructor what configures it, which is then ``--program.OPTION``;
    * assembles model and guide in ``programs(parts)``, and says in ``others`` what they are given
      besides x, and in ``arrange`` what of the data is x, where it is not all;
    * reports in ``findings`` what the family is for, and shows it in ``pictures``.

    Attributes:
        unused: the parts that have no place in this family, and why.
        latent: the one latent site of which there are pictures by dimension; ``None`` for several.
        gaps: whether entries of the data may be missing, nan.
        redrawn: whether grey pixels may become coins afresh in each mini-batch.
        withheld: what this family cannot give to the parts that ask for it, and why:
            ``"log_joint"``, the model's joint density of one z, and ``"posterior"``, q(z|x).
    """

    unused: ClassVar[dict[str, str]] = {}
    latent: ClassVar[str | None] = "z"
    gaps: ClassVar[bool] = False
    redrawn: ClassVar[bool] = True
    withheld: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def programs(self, parts: Parts) -> VAE:
        """Model and guide."""

    def arrange(self, dataset: Dataset, image: tuple[int, ...] | None, seed: int) -> Dataset:
        """The data whose ``train``, ``valid`` and ``test`` are x; looked at before anything else.

        ``image`` is the shape in which an example is shown. Raises ``ValueError`` where the data
        will not do.
        """
        return dataset

    def default_prior(self, posterior: str) -> Spec | None:
        """The prior where none is named; ``None`` where the family has its own.

        ``posterior`` is the name of the class that stands as q(z|x).
        """
        return None if "prior" in self.unused else ("StandardNormal", {})

    def default_likelihood(self, dataset: Dataset) -> str | None:
        """The likelihood where none is named; ``None`` for the usual one of such values."""
        return None

    def others(self, dataset: Dataset, split: str, seed: int) -> tuple[Tensor, ...]:
        """What the programs are given besides x, each as long as the split."""
        return ()

    def begin(self, programs: VAE, x: Tensor, *others: Tensor) -> None:
        """Set what starts from data: a prior that has ``initialize``, as ``VampPrior``."""
        start = getattr(getattr(programs.model, "prior", None), "initialize", None)
        if start is not None:
            start(self.seen(programs.guide, x, *others))

    def seen(self, guide: Any, x: Tensor, *others: Tensor) -> Tensor:
        """What q(z|x) sees of examples."""
        return x

    def prior_of(self, model: Any) -> Any:
        """p(z) of the one latent, for pictures; ``None`` where there is none."""
        return getattr(model, "prior", None)

    def findings(self, view: View) -> list[Finding]:
        """What the family is for, measured."""
        return []

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        """What the family is for, drawn: names and Axes."""
        return iter(())

    def shown(self, x: Tensor, *others: Tensor) -> Tensor:
        """Examples as they are shown, where x is but a part of what one would look at."""
        return x

    def generate(
        self, view: View, n: int, label: int | None = None, mean: bool = True, seed: int = 0
    ) -> Tensor:
        """``(n, *event)`` of the model's own, of one class where ``label`` is given.

        Raises ``ValueError`` where the family has no classes.
        """
        if label is not None:
            raise ValueError(
                f"--label {label}: {type(self).__name__} has no classes to choose from; leave it "
                "out"
            )
        others = tuple(_repeated(other, n) for other in view.others)
        return evaluation.generate(view.model, view.x, n, *others, mean=mean, site="x", seed=seed)


def _repeated(other: Tensor, n: int) -> Tensor:
    """The first n rows, again and again where there are fewer."""
    return other[torch.arange(n, device=other.device) % len(other)]
