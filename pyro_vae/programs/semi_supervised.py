r"""The semi-supervised VAE (M2): a class y and a style z, and y is known for some examples.

.. math:: p(x, y, z) = p(y)\, p(z)\, p(x|y, z) \qquad q(y, z|x) = q(y|x)\, q(z|x, y)

::

    y ──► x ◄── z      x ──► y ──► z
    └──► label         └───────────▲
        model              guide

All examples are in one batch, with -1 for a label that is missing. Where a label is known, the
posterior of y is known as well: there q(y|x) is the point mass at the label, which has no entropy,
and the bound is one on log p(x, y). Elsewhere it is one on log p(x),

.. math:: \sum_y q(y|x) \left(\mathcal L(x, y) - \log q(y|x)\right), \qquad
    \mathcal L(x, y) = \mathbb E_{q(z|x, y)}[\log p(x|y, z) p(y) p(z) - \log q(z|x, y)].

The sum over y is exact (estimator ``"enumerate"``), or estimated. For M1 + M2, train a ``vae``, and
give this program its z for x.

Kingma, Rezende, Mohamed and Welling 2014, *Semi-supervised Learning with Deep Generative Models*.
"""

from __future__ import annotations

from typing import cast

import pyro
import pyro.distributions as dist
import torch
from pyro.poutine.runtime import InferDict
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from .inputs import joined, with_class
from .labels import Label, indicators, label_problems
from .registration import Program


class Model(Program):
    """p(x, y, z) = p(y) p(z) p(x|y, z), and what is told of y.

    Args:
        classes: ``classes() -> p(y)`` over one-hot vectors, such as ``priors.Categorical(10)``.
        prior: ``prior() -> p(z)``.
        likelihood: called with y and z end to end, ``(*batch, classes + latent)``.

    Call: ``model(x, label)`` with x ``(batch, *event)``, label ``(batch,)`` whole numbers, -1 where
    missing; or ``model(x)``, where all are. Returns x (observed, or sampled under
    ``poutine.uncondition``).

    Raises ``ValueError`` for a label outside the classes.

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import Categorical, StandardNormal
    >>> model = Model(Categorical(10), StandardNormal(2), Bernoulli(MLP(10 + 2, 64)))
    """

    def __init__(self, classes: nn.Module, prior: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.classes = classes
        self.prior = prior
        self.likelihood = likelihood

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", self.classes())
            if label is not None:
                pyro.sample("label", Label(y), obs=label)
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.likelihood(joined(y, z)), obs=x)

    def data_problems(self, x: Tensor, label: Tensor | None = None) -> list[str]:
        """What is wrong with a whole data set that one mini-batch of it does not show."""
        return [] if label is None else label_problems(label, self.classes().event_shape[-1])


class Guide(Program):
    """q(y|x) q(z|x, y), where q(y|x) is the point mass at the label if that is known.

    Args:
        classifier: a network from x ``(batch, *event)`` to the logits of q(y|x),
            ``(batch, classes)``.
        posterior: called with x and y in one tensor: end to end, ``(*batch, features + classes)``,
            or y as further channels where x are images ``(channels, height, width)``.
        auxiliary: how often log q(y = label|x) of the *network* counts in training, for each
            labelled example. The bound itself teaches it by unlabelled examples alone. It adds to
            the gradient, in training mode, and nothing to the value of the bound. The paper's
            choice is N / (10 N_labelled).
        estimator: of the gradient at y: ``"enumerate"``, ``"leave-one-out"`` (which needs several
            particles), ``"gumbel-softmax"`` or another; ``None`` leaves it to the objective.

    Call: ``guide(x, label)`` or ``guide(x)``; returns z ``(batch, latent)``.

    Raises ``ValueError`` for a label outside the classes, and a negative ``auxiliary``.

    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> guide = Guide(MLP(64, 10), DiagonalNormal(MLP(64 + 10, 2 * 2)), auxiliary=1.0)
    """

    def __init__(
        self,
        classifier: nn.Module,
        posterior: nn.Module,
        auxiliary: float = 0.0,
        estimator: str | None = "enumerate",
    ) -> None:
        super().__init__()
        if not 0.0 <= auxiliary < float("inf"):
            raise ValueError(f"auxiliary is a number from 0 on, not {auxiliary!r}")
        self.classifier = classifier
        self.posterior = posterior
        self.auxiliary = auxiliary
        self.infer = chosen(estimator)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        logits = self.classifier(x)
        with pyro.plate("data", len(x)):
            q = dist.OneHotCategorical(logits=known(logits, label))
            y = pyro.sample("y", q, infer=self.infer.copy())
            if label is not None and self.training and self.auxiliary > 0.0:
                own, _ = indicators(label, logits.shape[-1])
                right = log_softmax(logits, -1).where(own, 0.0).sum(-1)
                taught("classification", self.auxiliary * right)
            return pyro.sample("z", self.posterior(with_class(x, y)))


def known(logits: Tensor, label: Tensor | None) -> Tensor:
    """Logits, of the point mass at the label where one is known.

    >>> known(torch.zeros(2, 3), torch.tensor([-1, 1]))
    tensor([[0., 0., 0.],
            [-inf, 0., -inf]])
    """
    if label is None:
        return logits
    own, told = indicators(label, logits.shape[-1])
    point = torch.zeros_like(logits).masked_fill(~own, -torch.inf)
    return torch.where(told, point, logits)


def taught(name: str, gain: Tensor) -> None:
    """Let the gradient, and it alone, raise what is no part of the bound: in a guide.

    The site's value is 0 and its gradient that of ``gain``, for every objective, Pyro's too.
    """
    unit = dist.Unit(gain.detach() - gain, has_rsample=True)
    options = cast(InferDict, {"is_auxiliary": True, "estimator": "pathwise"})
    pyro.sample(name, unit, obs=unit.sample(), infer=options)


def chosen(estimator: str | None) -> InferDict:
    """A site's ``infer`` for this estimator. Pyro's own ELBOs do not read it."""
    return cast(InferDict, {} if estimator is None else {"estimator": estimator})
