"""No amortisation: a posterior for each training example."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, softplus

from .base import Posterior


class PerExample(Posterior):
    r"""No encoder: each training example has its own mean and scale.

    .. math:: q_i(z) = \prod_d \mathcal N(z_d; \mu_{id}, \sigma_{id}^2), \quad i = 1, \dots, n

    What remains of :math:`\log p(x) - \mathrm{ELBO}` after training these is due to the family;
    what an encoder of the same family loses besides is its *amortisation gap*. Programs are called
    with the numbers of the examples: ``fit(model, guide, (x, torch.arange(len(x))))``.

    Adam keeps moving rows that are not in the mini-batch by their momentum: take all examples in
    one batch, or SGD, where it matters. Examples unknown in training have no posterior here.

    Cremer, Li and Duvenaud 2018, *Inference Suboptimality in Variational Autoencoders*.

    Args:
        latent: number of latent dimensions.
        examples: how many examples there are.
        min_scale: the least standard deviation.

    Call: ``posterior(x, index)`` with integers ``index``, the batch shape of ``x``.

    Raises ``ValueError`` for sizes below 1 or an ``index`` that is absent or not the batch shape
    of ``x``, ``TypeError`` for one that is not of integers, ``IndexError`` for one out of range.

    >>> posterior = PerExample(latent=2, examples=100)
    >>> q = posterior(torch.zeros(7, 5), torch.arange(7))
    >>> q.batch_shape, q.event_shape
    (torch.Size([7]), torch.Size([2]))
    """

    def __init__(self, latent: int, examples: int, min_scale: float = 1e-6) -> None:
        super().__init__()
        if latent < 1 or examples < 1:
            raise ValueError(f"PerExample needs sizes of at least 1, not {latent=}, {examples=}")
        self.loc = nn.Parameter(torch.zeros(examples, latent))
        self.raw_scale = nn.Parameter(torch.zeros(examples, latent))
        self.min_scale = min_scale

    @staticmethod
    def outputs(latent: int, **options: Any) -> tuple[int, ...]:
        return ()

    def forward(self, x: Tensor, index: Tensor | None = None) -> dist.TorchDistribution:
        if index is None:
            raise ValueError(
                "PerExample needs the numbers of the examples: call the programs with (x, index), "
                "as in fit(model, guide, (x, torch.arange(len(x))))"
            )
        if index.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"index holds integers (torch.int64), not {index.dtype}")
        if x.shape[: index.dim()] != index.shape:
            raise ValueError(
                f"index has shape {tuple(index.shape)}, which x of shape {tuple(x.shape)} does not "
                "start with: one number for each example is needed"
            )
        loc, raw = embedding(index, self.loc), embedding(index, self.raw_scale)
        return dist.Normal(loc, softplus(raw) + self.min_scale).to_event(1)
