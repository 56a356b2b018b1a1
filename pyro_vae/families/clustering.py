"""Clusters of the latent space, found without labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_vae import evaluation
from pyro_vae.priors import MixtureOfNormals, VampPrior
from pyro_vae.programs import VAE, vae
from pyro_vae.programs.clustering import Guide, Model, clusters

from .accuracy import accuracy_finding
from .base import Family, Spec
from .beginning import mean_of, typical
from .conditional import chosen_classes
from .estimator import Estimator, at_the_site
from .given import given
from .grids import grid
from .joint import joint_of_model
from .parts import Parts
from .view import Finding, View, line

#: Runs of the guide over which the probabilities of the clusters are averaged.
PARTICLES = 16
#: Columns of the picture.
DRAWN = 12
#: Of the first means of normals, by default: those far apart would go to one cluster's side each.
SPREAD = 0.3


class clustering(Family):
    """Each example in one of several clusters c of z: p(c) p(z|c) p(x|z).

    The clusters are the components of the prior, a mixture: of a DiagonalNormal posterior at
    learned pseudo-inputs (VampPrior), or of normals. They begin at the examples nearest to the
    centres of k-means. Labels are used in the report alone: clusters are matched to classes one to
    one.

    Dilokthanakul et al. 2016, *Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders*; Jiang et al. 2017, *Variational Deep Embedding*; Tomczak and Welling 2018, *VAE
    with a VampPrior*.

    Args:
        clusters: how many; by default 10, or the components of the prior that is named.
        estimator: of the gradient at c: the exact sum over the clusters, or an estimate.

    >>> clustering(clusters=20).clusters
    20
    """

    def __init__(self, clusters: int | None = None, estimator: Estimator = "enumerate") -> None:
        if clusters is not None and clusters < 1:
            raise ValueError(f"--program.clusters is at least 1, not {clusters}")
        self.clusters = clusters
        self.estimator = estimator

    def default_prior(self, posterior: str) -> Spec | None:
        count = self.clusters or 10
        if posterior == "DiagonalNormal":  # its components move with the codes
            return "VampPrior", {"components": count, "learned_weights": True}
        return "MixtureOfNormals", {"components": count, "spread": SPREAD}

    def programs(self, parts: Parts) -> VAE:
        joint = joint_of_model()
        posterior = parts.posterior(parts.shape, parts.latent, log_joint=joint)
        prior = parts.prior(parts.latent, posterior=posterior, shape=parts.shape)
        try:
            count = len(clusters(prior).mixture_distribution.probs)
        except TypeError as error:
            cure = "leave it out, or name MixtureOfNormals or VampPrior"
            if isinstance(prior, VampPrior):
                cure = f"name MixtureOfNormals, or leave --posterior {parts.named('posterior')} out"
            raise ValueError(
                f"--prior {parts.named('prior')} has no normals for clusters: {cure}"
            ) from error
        if self.clusters not in (None, count):
            raise ValueError(
                f"--program.clusters {self.clusters}, but the prior has {count} components: give "
                "one of the two"
            )
        likelihood = parts.likelihood(parts.latent)
        joint.model = vae.Model(prior, likelihood)  # the same, summed over c
        guide = Guide(posterior, prior, estimator=at_the_site(self.estimator))
        return VAE(Model(prior, likelihood), guide)

    def begin(self, programs: VAE, x: Tensor, *others: Tensor) -> None:
        model: Any = programs.model
        prior = model.prior
        first = typical(x, len(clusters(prior).mixture_distribution.probs))
        if isinstance(prior, VampPrior):
            prior.initialize(first)
        elif isinstance(prior, MixtureOfNormals):
            guide: Any = programs.guide
            with torch.no_grad(), pyro.validation_enabled(False):  # grey is no coin yet
                codes = mean_of(guide.posterior(first))
                if codes is not None:
                    prior.loc.copy_(prior.loc.std() * (codes - codes.mean(0)) / codes.std())

    def findings(self, view: View) -> list[Finding]:
        probabilities = evaluation.classify(view.guide, view.x, site="c", particles=PARTICLES)
        n, count = probabilities.shape
        sizes = probabilities.argmax(-1).bincount(minlength=count)
        used = int((sizes >= max(0.01 * n, 1)).sum())
        note = f"of {count} with at least 1% of the examples"
        found = [
            Finding("clusters_used", used, line("clusters used", str(used), note)),
            Finding("cluster_sizes", sizes.tolist(), ""),
        ]
        if view.labels is not None and bool((view.labels >= 0).any()):
            matched = evaluation.match_clusters(probabilities, view.labels)
            found += accuracy_finding(matched.accuracy, "matched_accuracy", "matched")
        return found

    def generate(
        self, view: View, n: int, label: int | None = None, mean: bool = True, seed: int = 0
    ) -> Tensor:
        if label is None:
            return evaluation.generate(view.model, view.x, n, mean=mean, seed=seed)
        count = len(clusters(view.model.prior).mixture_distribution.probs)
        c = chosen_classes(n, count, label).to(view.x.device)
        return evaluation.generate(given(view.model, "c"), view.x, n, c, mean=mean, seed=seed)

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        if view.image is None:
            return
        weights = clusters(view.model.prior).mixture_distribution.probs.detach()
        order = weights.argsort(descending=True)[:20].cpu()
        x = torch.stack([self.generate(view, DRAWN, int(c)) for c in order])
        names = [f"c = {int(c)}  ({weights[int(c)]:.0%})" for c in order]
        yield "clusters", grid(view, x, "rows: cluster c; $z \\sim p(z|c)$", names)
