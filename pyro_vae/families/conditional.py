"""Everything given a context: a label, or a known part of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from pyro_vae import evaluation
from pyro_vae.data import Dataset
from pyro_vae.data.dataset import SPLITS
from pyro_vae.evaluation import parted
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.programs import VAE, inputs
from pyro_vae.programs.conditional import Guide, Model

from .base import Family, Spec
from .classes import class_count, labels_of
from .filling import filling_error
from .grids import ACROSS, grid
from .joint import joint_of_model
from .known_part import known_part
from .parts import Parts, apart, beside
from .view import Finding, View

Given = Literal["label", "quadrant", "half", "three-quarters"] | Sequence[int]
#: Completions of each example: averaged over, and drawn.
AVERAGED, DRAWN = 20, 4


class conditional(Family):
    """Everything given a context y, such as a label or a known part of x: p(z|y) p(x|z, y).

    Sohn, Lee and Yan 2015, *Learning Structured Output Representation using Deep Conditional
    Generative Models*.

    Args:
        given: what is known: the label; of images the lower left quadrant, the left half, or all
            but the lower right quadrant; or columns of x by number, from 0 on.
        prior_given_context: whether the prior of z depends on y, a diagonal normal with a network
            of the decoder's kind; by default where a part of x is given and no prior is named.

    >>> conditional(given="half").given
    'half'
    """

    classes: int | None = None
    known: Tensor | None = None

    def __init__(self, given: Given = "label", prior_given_context: bool | None = None) -> None:
        self.given = given
        self.dependent = given != "label" if prior_given_context is None else prior_given_context
        self.forced = prior_given_context is True
        self.context: dict[str, Tensor] = {}

    def default_prior(self, posterior: str) -> Spec | None:
        return None if self.dependent else super().default_prior(posterior)

    def arrange(self, dataset: Dataset, image: tuple[int, ...] | None, seed: int) -> Dataset:
        if self.given == "label":
            cure = "or condition on a part of x, --program.given"
            self.context = labels_of(dataset, cure)
            self.classes = class_count(self.context)
            return dataset
        self.known = known_part(dataset, image, self.given)
        cut = {split: parted(getattr(dataset, split), self.known) for split in SPLITS}
        self.context = {split: given for split, (_, given) in cut.items()}
        train, valid, test = (cut[split][0] for split in SPLITS)
        return replace(dataset, train=train, valid=valid, test=test)

    def others(self, dataset: Dataset, split: str, seed: int) -> tuple[Tensor, ...]:
        return (self.context[split],)

    def programs(self, parts: Parts) -> VAE:
        features = self.classes or self.context["train"].shape[1]
        shape = beside(parts.shape, features)
        joint = joint_of_model(partial(_arguments, shape=parts.shape, classes=self.classes))
        posterior = parts.posterior(shape, parts.latent, log_joint=joint)
        named = parts.named("prior")
        if self.forced and named is not None:
            raise ValueError(
                f"--prior {named} does not depend on the context: leave it out, or give "
                "--program.prior_given_context false"
            )
        prior: Any
        if named is None:
            prior = DiagonalNormal(parts.inner(features, 2 * parts.latent))
        else:
            prior = parts.prior(parts.latent, posterior=posterior, shape=shape)
        likelihood = parts.likelihood(parts.latent + features)
        joint.model = Model(prior, likelihood, classes=self.classes)
        return VAE(joint.model, Guide(posterior, classes=self.classes))

    def seen(self, guide: Any, x: Tensor, *others: Tensor) -> Tensor:
        return inputs.beside(x, inputs.context(others[0], x, self.classes))

    def shown(self, x: Tensor, *others: Tensor) -> Tensor:
        if self.known is None:
            return x
        known = self.known.flatten().to(x.device)
        whole = x.new_empty(len(x), len(known))
        whole[:, known], whole[:, ~known] = others[0].to(x), x
        return whole

    def generate(
        self, view: View, n: int, label: int | None = None, mean: bool = True, seed: int = 0
    ) -> Tensor:
        if self.classes is None:
            x = super().generate(view, n, label, mean, seed)
            given = view.others[0]
            return self.shown(x, given[torch.arange(n, device=given.device) % len(given)])
        y = chosen_classes(n, self.classes, label).to(view.x.device)
        return evaluation.generate(view.model, view.x, n, y, mean=mean, seed=seed)

    def findings(self, view: View) -> list[Finding]:
        if self.known is None:
            return []
        filled = torch.stack([self._filled(view, seed) for seed in range(AVERAGED)]).mean(0)
        everything = torch.ones_like(view.x, dtype=torch.bool)
        return filling_error(filled, view.x, everything, view.train.mean(0))

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        if view.image is None:
            return
        if self.classes is not None:
            y = torch.arange(self.classes).repeat(8).to(view.x.device)
            x = evaluation.generate(view.model, view.x, len(y), y)
            title = "columns: class y; drawn from $p(z|y)$, means of $p(x|z, y)$"
            images = x.unflatten(0, (8, self.classes))
            yield "classes", grid(view, images, title, columns=range(self.classes))
            return
        x, given = (part[:ACROSS] for part in view.arguments)
        hidden = self.shown(torch.full_like(x, torch.nan), given)
        few = replace(view, x=x, others=(given,))
        made = [self.shown(self._filled(few, seed), given) for seed in range(DRAWN)]
        rows = torch.stack([hidden, *made, self.shown(x, given)])
        names = ["given", *["completion"] * DRAWN, "image"]
        yield "completions", grid(view, rows, "the rest, given a part", names)

    def _filled(self, view: View, seed: int) -> Tensor:
        """The unknown part, once for each example: the mean given one z."""
        x, given = view.arguments
        return evaluation.generate(view.model, x, len(x), given, seed=seed)


def chosen_classes(n: int, classes: int, label: int | None) -> Tensor:
    """n labels: all the same, or each class in turn.

    Raises ``ValueError`` for a label outside the classes.

    >>> chosen_classes(4, 3, None), chosen_classes(2, 3, 1)
    (tensor([0, 1, 2, 0]), tensor([1, 1]))
    """
    if label is None:
        return torch.arange(n) % classes
    if not 0 <= label < classes:
        raise ValueError(f"--label {label} is none of the {classes} there are, 0 to {classes - 1}")
    return torch.full((n,), label)


def _arguments(seen: Tensor, shape: tuple[int, ...], classes: int | None) -> tuple[Tensor, Tensor]:
    """x and the context, of what the posterior sees of both."""
    x, y = apart(seen, shape)
    return x, y if classes is None else y.argmax(-1)
