r"""The clustering VAE: each example belongs to one of several clusters of z.

.. math:: p(x, c, z) = p(c)\, p(z|c)\, p(x|z) \qquad q(z, c|x) = q(z|x)\, p(c|z)

::

    c ──► z ──► x      x ──► z ──► c
        model              guide

Summed over c, the model is a VAE whose prior is a mixture; that mixture is what one gives it. Given
z, the posterior of the cluster is known by Bayes' rule,

.. math:: p(c|z) = \frac{p(c)\, p(z|c)}{\sum_{c'} p(c')\, p(z|c')},

so the guide has no network for it, and the sum over c is exact: one decoding for each example,
however many clusters.

Dilokthanakul et al. 2016, *Deep Unsupervised Clustering with Gaussian Mixture Variational
Autoencoders*; Jiang et al. 2017, *Variational Deep Embedding*.
"""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from .registration import Program
from .semi_supervised import chosen


class Model(Program):
    """p(x, c, z) = p(c) p(z|c) p(x|z).

    Args:
        prior: ``prior() -> p(z)``, a mixture of normals: ``priors.MixtureOfNormals``, or a
            ``priors.VampPrior`` of a normal posterior. Its components are the clusters.
        likelihood: ``likelihood(z) -> p(x|z)``.

    Call: ``model(x)`` with x ``(batch, *event)``; returns x (observed, or sampled under
    ``poutine.uncondition``).

    Raises ``TypeError`` for a prior that is no such mixture.

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import MixtureOfNormals
    >>> model = Model(MixtureOfNormals(2, components=10), Bernoulli(MLP(2, 64)))
    """

    def __init__(self, prior: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood

    def forward(self, x: Tensor) -> Tensor:
        mixture = clusters(self.prior)
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", mixture.mixture_distribution)
            z = pyro.sample("z", component(mixture, c))
            return pyro.sample("x", self.likelihood(z), obs=x)


class Guide(Program):
    """q(z|x) p(c|z).

    Args:
        posterior: ``posterior(x) -> q(z|x)``.
        prior: the model's.
        estimator: of the gradient at c: ``"enumerate"``, or a score function's; ``None`` leaves it
            to the objective.

    Call: ``guide(x)``; returns c ``(batch,)``.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> from pyro_vae.priors import MixtureOfNormals
    >>> guide = Guide(DiagonalNormal(MLP(64, 2 * 2)), MixtureOfNormals(2, components=10))
    """

    def __init__(
        self, posterior: nn.Module, prior: nn.Module, estimator: str | None = "enumerate"
    ) -> None:
        super().__init__()
        self.posterior = posterior
        self.prior = prior
        self.infer = chosen(estimator)

    def forward(self, x: Tensor) -> Tensor:
        mixture = clusters(self.prior)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.posterior(x))
            log_joint = mixture.component_distribution.log_prob(z.unsqueeze(-2))
            q = dist.Categorical(logits=mixture.mixture_distribution.logits + log_joint)
            return pyro.sample("c", q, infer=self.infer.copy())


def clusters(prior: nn.Module) -> Any:
    """The mixture of normals that a prior is.

    Raises ``TypeError`` where it is another distribution.
    """
    p = prior()
    base = getattr(getattr(p, "component_distribution", None), "base_dist", None)
    if not isinstance(base, dist.Normal):
        raise TypeError(
            f"the clusters are the components of a mixture of normals, and {type(prior).__name__} "
            "is none: use priors.MixtureOfNormals"
        )
    return p


def component(mixture: Any, c: Tensor) -> dist.TorchDistribution:
    """p(z|c): component c, ``(*batch,)``, of a mixture of normals."""
    normal = mixture.component_distribution.base_dist
    return dist.Normal(normal.loc[c], normal.scale[c]).to_event(1)
