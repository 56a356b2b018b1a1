"""A class and a style, where few classes are told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_vae import evaluation
from pyro_vae.data import Dataset
from pyro_vae.priors import Categorical
from pyro_vae.programs import VAE
from pyro_vae.programs.inputs import with_class
from pyro_vae.programs.semi_supervised import Guide, Model

from .accuracy import accuracy_finding
from .base import Family
from .classes import class_count, labels_of, told
from .conditional import chosen_classes
from .estimator import Estimator, at_the_site
from .given import given
from .grids import grid
from .joint import WithClass, joint_of_model
from .parts import Parts, apart, beside
from .view import Finding, View

#: The least weight of a label, by default: among few examples a tenth would hardly teach.
LEAST = 10.0


class semi_supervised(Family):
    """A class y and a style z, of which y is told for some: p(y) p(z) p(x|y, z).

    The classes are those of the data's labels, -1 where missing. Validation and test data are taken
    without labels: their bound is one on log p(x), and the accuracy is that of q(y|x).

    Kingma, Rezende, Mohamed and Welling 2014, *Semi-supervised Learning with Deep Generative
    Models*.

    Args:
        labels: how many labels of the training data are told, as many of each class as can be; by
            default all that there are.
        auxiliary: how often log q(y|x) counts for each example whose label is told; by default a
            tenth of the number of examples over that of labels, as in the paper, and at least 10.
        estimator: of the gradient at y: the exact sum over the classes, or an estimate.

    >>> semi_supervised(labels=100).labels
    100
    """

    latent = None
    classes = 0

    def __init__(
        self,
        labels: int | None = None,
        auxiliary: float | None = None,
        estimator: Estimator = "enumerate",
    ) -> None:
        self.labels = labels
        self.auxiliary = auxiliary
        self.estimator = estimator
        self.told: Tensor

    def arrange(self, dataset: Dataset, image: tuple[int, ...] | None, seed: int) -> Dataset:
        labels = labels_of(dataset, "or use --program clustering, which needs none", missing=True)
        self.classes = class_count(labels)
        if not bool((labels["train"] >= 0).any()):
            raise ValueError(
                f"all {len(dataset.train)} training labels are missing (-1): tell some, or use "
                "--program clustering"
            )
        self.told = labels["train"]
        if self.labels is not None:
            self.told = told(self.told, self.labels, self.classes, seed)
        return dataset

    def others(self, dataset: Dataset, split: str, seed: int) -> tuple[Tensor, ...]:
        return (self.told,) if split == "train" else ()

    def programs(self, parts: Parts) -> VAE:
        auxiliary = self.auxiliary
        if auxiliary is None:
            auxiliary = max(LEAST, 0.1 * len(self.told) / int((self.told >= 0).sum()))
        shape = beside(parts.shape, self.classes)
        joint = joint_of_model(partial(apart, shape=parts.shape))
        classifier = parts.encoder(parts.shape, self.classes)
        posterior = parts.posterior(shape, parts.latent, log_joint=joint)
        prior = parts.prior(parts.latent, posterior=posterior, shape=shape)
        likelihood = parts.likelihood(self.classes + parts.latent)
        model = Model(Categorical(self.classes), prior, likelihood)
        joint.model = WithClass(model)
        estimator = at_the_site(self.estimator)
        return VAE(model, Guide(classifier, posterior, auxiliary=auxiliary, estimator=estimator))

    def seen(self, guide: Any, x: Tensor, *others: Tensor) -> Tensor:
        label = others[0]
        known = label >= 0
        return with_class(x[known], one_hot(label[known], self.classes).to(x))

    def findings(self, view: View) -> list[Finding]:
        known = view.labels is not None and bool((view.labels >= 0).any())
        if not known:
            return []
        assert view.labels is not None
        probabilities = evaluation.classify(view.guide, view.x)
        return accuracy_finding(evaluation.accuracy(probabilities, view.labels))

    def generate(
        self, view: View, n: int, label: int | None = None, mean: bool = True, seed: int = 0
    ) -> Tensor:
        if label is None:
            return evaluation.generate(view.model, view.x, n, mean=mean, site="x", seed=seed)
        y = one_hot(chosen_classes(n, self.classes, label), self.classes).to(view.x)
        return evaluation.generate(
            given(view.model, "y"), view.x, n, y, mean=mean, site="x", seed=seed
        )

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        if view.image is None:
            return
        z = torch.stack([view.model.prior().sample() for _ in range(8)])
        y = torch.eye(self.classes).to(z).repeat(8, 1)
        latents = {"y": y, "z": z.repeat_interleave(self.classes, 0)}
        x = evaluation.decode(view.model, view.x, latents, observed="x")
        images = x.unflatten(0, (8, self.classes))
        title = "columns: class y, rows: one style z each"
        yield "classes", grid(view, images, title, columns=range(self.classes))
