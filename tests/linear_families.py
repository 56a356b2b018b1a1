"""Parts of linear-Gaussian programs with given numbers, in double precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_vae.posteriors import FullCovarianceNormal


def raw(scale: Tensor) -> Tensor:
    """What softplus takes to ``scale``."""
    return torch.log(torch.expm1(scale.double()))


def affine(weight: Tensor, scale: Tensor | None = None, bias: Tensor | None = None) -> nn.Linear:
    """``weight @ input + bias``; and with a scale, its constants behind (DiagonalNormal's net)."""
    bias = torch.zeros(len(weight)) if bias is None else bias
    if scale is not None:
        weight = torch.cat([weight, torch.zeros_like(weight)])
        bias = torch.cat([bias.double(), raw(scale)])
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    layer.weight.data.copy_(weight)
    layer.bias.data.copy_(bias)
    return layer


def full_covariance(weight: Tensor, bias: Tensor, covariance: Tensor) -> FullCovarianceNormal:
    """N(weight @ input + bias, covariance)."""
    latent = len(weight)
    cholesky = torch.linalg.cholesky(covariance)
    rows, columns = torch.tril_indices(latent, latent, -1)
    constants = torch.cat([raw(cholesky.diagonal()), cholesky[rows, columns]])
    zeros = torch.zeros(len(constants), weight.shape[1])
    network = affine(torch.cat([weight, zeros]), bias=torch.cat([bias.double(), constants]))
    return FullCovarianceNormal(network, min_scale=0.0)
