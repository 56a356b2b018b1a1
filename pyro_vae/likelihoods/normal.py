"""The likelihood of real data."""

from __future__ import annotations

from typing import Any, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ._tracked_normal import TrackedNormal
from .base import Likelihood, as_event, widened
from .scale import hold, log_scale, predicted, with_scale

#: How much of the running mean each batch replaces, once there were as many batches.
_RATE = 0.1


class Normal(Likelihood):
    r"""Independent normals, for real data; the noise scale is fixed or learned.

    .. math:: p(x|z) = \prod_i \mathcal N(x_i; f_i(z), \sigma_i^2)

    The noise scale :math:`\sigma` decides how reconstruction and KL are balanced: fixing it at 1
    for pixels in [0, 1] is a strong beta-VAE in disguise. So the default learns it.

    ``scale="optimal"`` takes :math:`\sigma^2` from the data in place of the gradient: at given
    means the ELBO is greatest at the mean squared error. Put into the density of the very batch
    that it was computed from, that number would make p(x|z) depend on x, and be no density. Here
    it is a running mean over the batches *before*: in training mode each batch is scored first
    and counted then; in eval mode, or without gradients, nothing changes. So every value is that
    of an honest normal, and only the first batch sees ``initial``.

    Rybkin, Daniilidis and Levine 2021, *Simple and Effective VAE Training with Calibrated
    Decoders*; Lucas et al. 2019, *Don't Blame the ELBO!*, for the linear case.

    Args:
        network: maps z ``(*batch, latent)`` to means ``(*batch, *event)``, and with
            ``"per-pixel"`` to two numbers an entry (see ``outputs``).
        scale: a number fixes the scale; ``"shared"`` learns one for all of x; ``"per-dimension"``
            learns one for each number in x (the network must say its shape in ``outputs``, as
            those of ``pyro_vae.networks`` do); ``"per-pixel"`` has the network predict one for
            each number in x, from z; ``"optimal"`` is one for all of x, in closed form.
        initial: where a learned scale starts.

    Raises ``ValueError`` for a scale that is not positive, or not one of these.

    >>> likelihood = Normal(nn.Linear(2, 5), scale=0.1)
    >>> likelihood(torch.zeros(7, 2)).base_dist.scale[0, 0]
    tensor(0.1000)
    """

    values = "real"
    log_scale: Tensor
    batches: Tensor

    def __init__(
        self,
        network: nn.Module,
        scale: float | Literal["shared", "per-dimension", "per-pixel", "optimal"] = "shared",
        initial: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        if scale == "optimal":
            hold(self, "log_scale", log_scale(network, initial, initial))
            self.register_buffer("batches", torch.tensor(0.0))
        else:
            hold(self, "log_scale", log_scale(network, scale, initial, also="'optimal', "))

    @staticmethod
    def outputs(shape: tuple[int, ...], *, scale: object = "shared", **_: Any) -> tuple[int, ...]:
        return widened(shape, 1 + predicted(scale))

    def forward(self, z: Tensor, mask: Tensor | None = None) -> dist.TorchDistribution:
        loc, scale = with_scale(self.network(z), z, self.log_scale, self.scale)
        if self.scale != "optimal":
            return as_event(dist.Normal(loc, scale), z, mask)
        normal = TrackedNormal(loc, scale)
        if self.training:
            normal.follow = lambda errors: self._follow(errors, mask)
        return as_event(normal, z, mask)

    def _follow(self, errors: Tensor, mask: Tensor | None) -> None:
        known = torch.ones_like(errors) if mask is None else mask.expand_as(errors).to(errors)
        count = known.sum()
        # Masked entries hold a number of the support by now, so nothing times zero is nan here.
        mean = (errors * known).sum() / count.clamp(min=1)
        weight = (1 / (self.batches + 1)).clamp(min=_RATE) * (count > 0)
        variance = torch.lerp(self.log_scale.mul(2).exp(), mean, weight)
        floor = torch.finfo(variance.dtype).tiny
        self.log_scale.copy_(variance.clamp(min=floor).log() / 2)
        self.batches.add_(count > 0)
