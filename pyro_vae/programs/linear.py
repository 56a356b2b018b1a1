r"""The linear VAE: probabilistic PCA and factor analysis, where everything is known exactly.

.. math:: p(z) = \mathcal N(0, I), \quad p(x|z) = \mathcal N(W z + b, \Psi)
          \quad\Rightarrow\quad p(x) = \mathcal N(b, W W^\top + \Psi)

.. math:: q(z|x) = \mathcal N(V (x - c), D), \qquad
          p(z|x) = \mathcal N(\Lambda^{-1} W^\top \Psi^{-1} (x - b), \Lambda^{-1}), \quad
          \Lambda = I + W^\top \Psi^{-1} W

::

    z ──► x      x ──► z
    model        guide

With one noise variance, :math:`\Psi = \sigma^2 I`, it is probabilistic PCA, and its
maximum-likelihood solution is one of eigenvectors (:func:`.solutions.principal_components`); with
one for each feature it is factor analysis (:func:`.solutions.factor_analysis`). So every number
that a VAE only bounds can be compared here with the truth: the evidence, the posterior, the gap of
a guide, the optimum of training.

Tipping and Bishop 1999, *Probabilistic Principal Component Analysis*; Rubin and Thayer 1982, *EM
Algorithms for ML Factor Analysis*; Lucas, Tucker, Grosse and Norouzi 2019, *Don't Blame the ELBO! A
Linear VAE Perspective on Posterior Collapse* (the linear guide).
"""

from __future__ import annotations

from typing import Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from .registration import Program

Noise = Literal["shared", "per-feature"]


class Model(Program):
    r"""p(z) p(x|z), linear with normal noise.

    Args:
        features: numbers in x.
        latent: latent dimensions.
        noise: ``"shared"``, one variance for all features (PCA), or ``"per-feature"`` (factor
            analysis).

    Call: ``model(x)`` with x ``(batch, features)``; returns x.

    Attributes:
        W: ``(features, latent)``; its columns are the loadings.
        b: ``(features,)``, the mean.
        log_scale: of the noise's standard deviation, ``()`` or ``(features,)``.

    Raises ``ValueError`` for sizes below 1 or another word for the noise.

    >>> model = Model(features=2, latent=1)
    >>> with torch.no_grad():                            # noise variance 1 at the start
    ...     _ = model.W.copy_(torch.tensor([[3.0], [0.0]]))
    ...     mean = model.posterior(torch.tensor([[5.0, 1.0]])).mean
    >>> mean                                             # 3 * 5 / (3 * 3 + 1)
    tensor([[1.5000]])
    """

    def __init__(self, features: int, latent: int, noise: Noise = "shared") -> None:
        super().__init__()
        if features < 1 or latent < 1:
            raise ValueError(f"features and latent are at least 1, not {features} and {latent}")
        if noise not in ("shared", "per-feature"):
            raise ValueError(f"noise is 'shared' or 'per-feature', not {noise!r}")
        self.W = nn.Parameter(torch.randn(features, latent) * latent**-0.5)
        self.b = nn.Parameter(torch.zeros(features))
        self.log_scale = nn.Parameter(torch.zeros(() if noise == "shared" else features))

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        features, latent = self.W.shape
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(self.b.new_zeros(latent), 1.0).to_event(1))
            noise = self.log_scale.exp().expand(features)
            return pyro.sample("x", dist.Normal(z @ self.W.mT + self.b, noise).to_event(1), obs=x)

    def evidence(self) -> dist.TorchDistribution:
        """p(x) itself, so that ``model.evidence().log_prob(x)`` are the exact log-evidences."""
        variance = self.log_scale.mul(2).exp().expand(len(self.W))
        return dist.LowRankMultivariateNormal(self.b, self.W, variance)

    def posterior(self, x: Tensor) -> dist.TorchDistribution:
        """p(z|x) itself: batch shape that of x, event ``(latent,)``."""
        scaled = self.W / self.log_scale.mul(2).exp().expand(len(self.W))[:, None]
        identity = torch.eye(self.W.shape[1], dtype=self.W.dtype, device=self.W.device)
        precision = identity + self.W.mT @ scaled
        cholesky = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve(((x - self.b) @ scaled).unsqueeze(-1), cholesky).squeeze(-1)
        return dist.MultivariateNormal(mean, precision_matrix=precision)


class Guide(Program):
    r"""q(z|x), linear: a mean that is linear in x, one variance for each latent.

    Its exact optimum is the posterior where the columns of W are orthogonal (under the noise), as
    they are at the model's own optimum: there the ELBO is the evidence.

    Args:
        features: numbers in x.
        latent: latent dimensions.

    Call: ``guide(x)`` with x ``(batch, features)``; returns z ``(batch, latent)``.

    >>> guide = Guide(features=2, latent=1)
    >>> guide(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """

    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, latent)
        self.log_scale = nn.Parameter(torch.zeros(latent))

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            q = dist.Normal(self.mean(x), self.log_scale.exp())
            return pyro.sample("z", q.to_event(1))


class ExactGuide(Program):
    """p(z|x) of a linear model as its guide: the bound is the evidence, at every sample.

    Training with it, KL sampled, ascends the likelihood itself. It has no parameters of its own.

    Args:
        model: a linear :class:`Model`.

    Call: ``guide(x)``; returns z ``(batch, latent)``.

    >>> model = Model(features=3, latent=2)
    >>> guide = ExactGuide(model)
    >>> guide(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.linear = model

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.linear.posterior(x))
