"""An encoder's answer, refined for each example."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from ._base_outputs import base_outputs
from ._gradient import gradient
from .base import Posterior


class SemiAmortized(Posterior):
    r"""Any posterior, refined by a few gradient steps on the bound of each example.

    The network of ``base`` gives the first parameters :math:`\lambda_0 = f_\phi(x)` of its family;
    then, example by example,

    .. math:: \lambda_{k+1} = \lambda_k + \eta \nabla_\lambda \,
              \mathbb E_{q(z; \lambda_k)}[\log p_\theta(x, z) - \log q(z; \lambda_k)],
              \qquad q(z|x) = q(z; \lambda_K)

    with the expectation by ``particles`` reparameterised samples. The steps are noisy, so calling
    it twice gives two posteriors; each makes a valid bound, and with it their mean does.

    What training follows. With ``through=True`` it is the bound's whole derivative: phi through all
    K steps (second derivatives: about 3 times the cost), and theta, besides directly, through the
    :math:`\lambda_K` that it has shaped. With ``through=False`` the steps count as constants: phi
    gets the gradient at :math:`\lambda_K` as if it were its own answer, and theta the usual
    :math:`\mathbb E_q \nabla_\theta \log p_\theta(x, z)`. Theta stays the model's: this part holds
    no parameter but those of ``base``.

    Kim, Wiseman, Miller, Sontag and Rush 2018, *Semi-Amortized Variational Autoencoders*.

    Args:
        base: a posterior that x enters by its ``network`` alone; its constants and other
            parameters stay as they are.
        log_joint: ``log_joint(x, z)``, the model's log p(x, z) for each example: x ``(n, *event)``
            and z ``(particles, n, latent)`` to ``(particles, n)``.
            ``pyro_vae.programs.log_joint(model)`` makes it of any model.
        steps: how many steps K; with 0 it is ``base`` itself.
        lr: length :math:`\eta` of a step; a step far above the inverse of the bound's curvature
            diverges.
        particles: samples for each example in each step.
        through: whether training follows the steps.

    Raises ``TypeError`` for a ``base`` without a network, or a ``log_joint`` that is a module
    (theta would become the guide's); ``ValueError`` for other options out of range, or a family
    that is not reparameterised. A family whose sample autograd cannot follow twice (``StudentT``,
    ``Dirichlet``) needs ``through=False``, and torch says so.

    >>> import torch
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> def log_joint(x, z):                                  # p(z) p(x|z), both of variance 1
    ...     return -0.5 * (z.square() + (x - z).square()).sum(-1)
    >>> posterior = SemiAmortized(DiagonalNormal(nn.Linear(1, 2)), log_joint, 200, particles=1000)
    >>> posterior(torch.tensor([[4.0]])).mean.round(decimals=1).item()    # the exact mean is x / 2
    2.0
    """

    def __init__(
        self,
        base: Posterior,
        log_joint: Callable[[Tensor, Tensor], Tensor],
        steps: int = 5,
        lr: float = 0.05,
        particles: int = 1,
        through: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(getattr(base, "network", None), nn.Module):
            raise TypeError(
                f"SemiAmortized refines what a network puts out, and {type(base).__name__} has none"
            )
        if isinstance(log_joint, nn.Module):
            raise TypeError(
                "log_joint is a module, whose parameters would become the guide's: give "
                "pyro_vae.programs.log_joint(model) or another plain function of (x, z)"
            )
        if steps < 0 or particles < 1 or not 0 < lr < float("inf"):
            raise ValueError(
                "steps is at least 0, particles at least 1 and lr positive, not "
                f"{steps=}, {particles=}, {lr=}"
            )
        self.base = base
        self.log_joint = log_joint
        self.steps = steps
        self.lr = lr
        self.particles = particles
        self.through = through
        self.identity = nn.Identity()

    @staticmethod
    def outputs(latent: int, *, base: Any = None, **_: Any) -> tuple[int, ...]:
        return base_outputs(latent, base)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        first = self.base.network(x)  # type: ignore[operator]
        batch = first.shape[:-1]
        start = first.reshape(-1, first.shape[-1])
        examples = x.reshape(len(start), *x.shape[len(batch) :])
        refined = start
        for _ in range(self.steps):
            slope = gradient(partial(self._elbo, examples), refined, self.through)
            refined = refined + self.lr * slope
        return self._family(refined.reshape(first.shape))

    def _elbo(self, x: Tensor, parameters: Tensor) -> Tensor:
        q = self._family(parameters)
        if not q.has_rsample:
            raise ValueError(f"{type(self.base).__name__} is not reparameterised, so has no slope")
        z = q.rsample((self.particles,))
        return (self.log_joint(x, z) - q.log_prob(z)).mean(0)

    def _family(self, parameters: Tensor) -> dist.TorchDistribution:
        """The distribution that ``base`` makes of these outputs of its network."""
        family = copy.copy(self.base)
        family._modules = {**self.base._modules, "network": self.identity}
        # Not by a call, which would show the copy to hooks as one more module that runs.
        return family.forward(parameters)
