"""The end of a Hamiltonian path, as a distribution that knows what it drew."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor

from ._gradient import gradient

Shape = torch.Size | list[int] | tuple[int, ...]


class HamiltonianPath(dist.TorchDistribution):
    r"""z at the end of leapfrog steps from ``start``; its log-probability is that of the path.

    ``log_prob(z)`` is :math:`\log q_0(z_0) + \log \mathcal N(\epsilon) - \log \mathcal N(\rho_K)`
    for the path that led to z (see :class:`Hamiltonian`): an estimate, on whose average the bound
    is valid, of a density that nobody can compute.

    Args:
        start: the distribution of z_0, event shape ``(latent,)``.
        x: the examples, the batch shape of ``start`` first.
        log_joint: ``log_joint(x, z)`` for x ``(n, *event)`` and z ``(*samples, n, latent)``.
        step: length of a leapfrog step, a positive tensor.
        heat: the scale of the momentum before each step and after the last, where it is 1.

    Raises ``ValueError`` where ``log_prob`` is asked of a z other than the last one drawn.
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(
        self,
        start: dist.TorchDistribution,
        x: Tensor,
        log_joint: Callable[[Tensor, Tensor], Tensor],
        step: Tensor,
        heat: Tensor,
    ) -> None:
        self.start, self.x, self.log_joint = start, x, log_joint
        self.step, self.heat = step, heat
        self._drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(start.batch_shape, start.event_shape, validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> HamiltonianPath:
        batch = torch.Size(batch_shape)
        x = self.x.expand(*batch, *self.x.shape[len(self.batch_shape) :])
        return HamiltonianPath(self.start.expand(batch), x, self.log_joint, self.step, self.heat)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        first = z = self.start.rsample(torch.Size(sample_shape))
        noise = torch.randn_like(first)
        heat = self.heat.unbind()
        momentum = noise * heat[0]
        force = gradient(self._log_joint, z)
        for hot, cool in pairwise(heat):
            momentum = momentum + 0.5 * self.step * force
            z = z + self.step * momentum
            force = gradient(self._log_joint, z)
            momentum = cool / hot * (momentum + 0.5 * self.step * force)
        # log N(noise) - log N(momentum): the constants cancel.
        kinetic = 0.5 * (momentum.square() - noise.square()).sum(-1)
        self._drawn = (z, self.start.log_prob(first) + kinetic)
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn is None or self._drawn[0] is not value:
            raise ValueError(
                "a Hamiltonian posterior can score only the z that it drew last: the density of "
                "any other value is an integral over paths; for such a use take another posterior"
            )
        return self._drawn[1]

    def _log_joint(self, z: Tensor) -> Tensor:
        """log p(x, z) with the batch dimensions made one, as programs take them."""
        event = self.x.shape[len(self.batch_shape) :]
        x = self.x.reshape(-1, *event)
        samples = z.shape[: z.dim() - 1 - len(self.batch_shape)]
        return self.log_joint(x, z.reshape(*samples, len(x), z.shape[-1]))
