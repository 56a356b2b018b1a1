"""The likelihood of real data."""

from __future__ import annotations

import math
from typing import Any, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from .base import Likelihood, as_event


class Normal(Likelihood):
    r"""Independent normals, for real data; the noise scale is fixed or learned.

    .. math:: p(x|z) = \prod_i \mathcal N(x_i; f_i(z), \sigma_i^2)

    The noise scale :math:`\sigma` decides how reconstruction and KL are balanced: fixing it at 1
    for pixels in [0, 1] is a strong beta-VAE in disguise. So the default learns it.

    Rybkin, Daniilidis and Levine 2021, *Simple and Effective VAE Training with Calibrated
    Decoders*; Lucas et al. 2019, *Don't Blame the ELBO!*, for the linear case.

    Args:
        network: maps z ``(*batch, latent)`` to means ``(*batch, *event)``.
        scale: a number fixes the scale; ``"shared"`` learns one for all of x; ``"per-dimension"``
            learns one for each number in x (the network must say its shape in ``outputs``, as
            those of ``pyro_vae.networks`` do).
        initial: where a learned scale starts.

    Raises ``ValueError`` for a scale that is not positive, or not one of these.

    >>> likelihood = Normal(nn.Linear(2, 5), scale=0.1)
    >>> likelihood(torch.zeros(7, 2)).base_dist.scale[0, 0]
    tensor(0.1000)
    """

    values = "real"
    log_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        scale: float | Literal["shared", "per-dimension"] = "shared",
        initial: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        start = scale if isinstance(scale, int | float) else initial
        if not start > 0:
            raise ValueError(f"a scale is positive, not {start}")
        if scale == "shared":
            self.log_scale = nn.Parameter(torch.tensor(math.log(start)))
        elif scale == "per-dimension":
            shape = getattr(network, "outputs", None)
            if shape is None:
                raise ValueError(
                    "scale='per-dimension' needs a network that says its output shape in "
                    "`outputs`, as pyro_vae.networks do"
                )
            self.log_scale = nn.Parameter(torch.full(tuple(shape), math.log(start)))
        elif isinstance(scale, int | float):
            self.register_buffer("log_scale", torch.tensor(math.log(start)))
        else:
            raise ValueError(f"scale is a number, 'shared' or 'per-dimension', not {scale!r}")

    @staticmethod
    def outputs(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
        return shape

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        return as_event(dist.Normal(self.network(z), self.log_scale.exp()), z)
