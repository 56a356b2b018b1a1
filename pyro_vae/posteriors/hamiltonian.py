"""A posterior that follows the model's own forces."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ._base_outputs import base_outputs
from ._hamiltonian_path import HamiltonianPath
from .base import Posterior


class Hamiltonian(Posterior):
    r"""Any posterior, moved by Hamiltonian dynamics towards the exact one.

    :math:`z_0 \sim q_0(z|x)`, noise :math:`\epsilon \sim \mathcal N(0, I)`, momentum
    :math:`\rho_0 = \epsilon / \sqrt{\beta_0}`; then K leapfrog steps of length s,

    .. math:: \tilde\rho = \rho + \tfrac s2 \nabla_z \log p(x, z), \quad z' = z + s\tilde\rho, \quad
              \rho' = \alpha_k\big(\tilde\rho + \tfrac s2 \nabla_z \log p(x, z')\big), \quad
              \textstyle\prod_k \alpha_k = \sqrt{\beta_0},

    and z is :math:`z_K`. Why the bound is valid: each map of :math:`(z, \rho)` shears, so its
    Jacobian is 1, and cooling by :math:`\alpha_k` gives back what dividing by
    :math:`\sqrt{\beta_0}` took. The end of the path thus has the density
    :math:`q(z_K, \rho_K | x) = q_0(z_0) \mathcal N(\epsilon)`. With the momentum as a further
    latent of the model, :math:`p(x, z)\, \mathcal N(\rho)`, whose evidence is the same,

    .. math:: \log p(x) \ge \mathbb E\big[\log p(x, z_K) + \log \mathcal N(\rho_K)
              - \log q_0(z_0) - \log \mathcal N(\epsilon)\big]

    by Jensen. So that model and guide keep their one site, what belongs to the guide is what its
    distribution gives as log q: :math:`\log q_0(z_0) + \log\mathcal N(\epsilon) -
    \log\mathcal N(\rho_K)`. Its exponential is right as an importance weight, too; it is not the
    density of z, which nobody can compute, and the distribution refuses to score a z that it did
    not draw. For the same reason the KL that is reported is that of the path, at least that of z.

    Gradients reach phi, s and theta through the whole path. With ``tempered``, :math:`\beta_0` in
    (0, 1) is learned: hot momentum at first, cooled on the way.

    Salimans, Kingma and Welling 2015, *Markov Chain Monte Carlo and Variational Inference: Bridging
    the Gap*; Caterini, Doucet and Sejdinovic 2018, *Hamiltonian Variational Auto-Encoder*.

    Args:
        base: a reparameterised posterior on real numbers, for the start.
        log_joint: ``log_joint(x, z)``, the model's log p(x, z) for each example: x ``(n, *event)``
            and z ``(*samples, n, latent)`` to ``(*samples, n)``.
            ``pyro_vae.programs.log_joint(model)`` makes it of any model.
        leapfrog: number of steps K, at least 1.
        step: where the learned length s of a step starts.
        tempered: whether to temper, from :math:`\beta_0 = 0.5`.

    Raises ``TypeError`` for a ``log_joint`` that is a module (theta would become the guide's);
    ``ValueError`` for other options out of range, or a ``base`` that is not reparameterised.

    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> def log_joint(x, z):
    ...     return -0.5 * (z.square() + (x - z).square()).sum(-1)
    >>> q = Hamiltonian(DiagonalNormal(nn.Linear(3, 6)), log_joint, leapfrog=2)(torch.zeros(7, 3))
    >>> z = q.rsample()
    >>> z.shape, q.log_prob(z).shape
    (torch.Size([7, 3]), torch.Size([7]))
    """

    def __init__(
        self,
        base: Posterior,
        log_joint: Callable[[Tensor, Tensor], Tensor],
        leapfrog: int = 3,
        step: float = 0.1,
        tempered: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(log_joint, nn.Module):
            raise TypeError(
                "log_joint is a module, whose parameters would become the guide's: give "
                "pyro_vae.programs.log_joint(model) or another plain function of (x, z)"
            )
        if leapfrog < 1 or not 0 < step < math.inf:
            raise ValueError(f"leapfrog is at least 1 and step positive, not {leapfrog=}, {step=}")
        self.base = base
        self.log_joint = log_joint
        self.leapfrog = leapfrog
        self.log_step = nn.Parameter(torch.tensor(math.log(step)))
        self.logit_beta = nn.Parameter(torch.zeros(())) if tempered else None

    @staticmethod
    def outputs(latent: int, *, base: Any = None, **_: Any) -> tuple[int, ...]:
        return base_outputs(latent, base)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        start = self.base(x)
        if not start.has_rsample:
            raise ValueError(
                f"Hamiltonian starts from a reparameterised posterior, and "
                f"{type(self.base).__name__} is not"
            )
        return HamiltonianPath(start, x, self.log_joint, self.log_step.exp(), self._heat())

    def _heat(self) -> Tensor:
        r""":math:`1/\sqrt{\beta_k}` for k = 0, ..., K, quadratic in k from beta_0 to 1."""
        if self.logit_beta is None:
            return self.log_step.new_ones(self.leapfrog + 1)
        hottest = self.logit_beta.sigmoid().rsqrt()
        done = torch.linspace(
            0, 1, self.leapfrog + 1, dtype=hottest.dtype, device=hottest.device
        ).square()
        return hottest + (1 - hottest) * done
