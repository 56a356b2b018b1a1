"""A mixture of independent normals whose samples can be followed to every parameter."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.autograd import Function
from torch.special import ndtr


class NormalMixture(dist.MixtureSameFamily):
    r"""``MixtureSameFamily`` of a categorical and independent normals, reparameterised implicitly.

    A sample solves :math:`S_i(z_1, \dots, z_i; \phi) = u_i` for every dimension i, where
    :math:`S_i` is the distribution function of :math:`z_i` given the dimensions before it, and
    :math:`u` is uniform. Differentiated with u held still, with no need to solve:

    .. math:: \frac{\partial S}{\partial z} \frac{dz}{d\phi} = -\frac{\partial S}{\partial\phi},

    a triangular system in closed form. Pyro's ``MixtureOfDiagNormals`` needs two latent dimensions
    or more, divides by zero where two means coincide, and its gradient cannot be followed again.

    Figurnov, Mohamed and Mnih 2018, *Implicit Reparameterization Gradients*, section 4.

    Shapes: logits ``(*batch, components)``, loc and scale ``(*batch, components, latent)``.

    >>> logits, loc = torch.zeros(2), torch.tensor([[-3.0], [3.0]])
    >>> mixture = NormalMixture(
    ...     dist.Categorical(logits=logits), dist.Normal(loc, torch.ones(2, 1)).to_event(1)
    ... )
    >>> mixture.rsample((5,)).shape, mixture.mean
    (torch.Size([5, 1]), tensor([0.]))
    """

    has_rsample = True

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        normals = self.component_distribution.base_dist
        drawn = self.sample(torch.Size(sample_shape))
        return _Implicit.apply(drawn, self.mixture_distribution.logits, normals.loc, normals.scale)


class _Implicit(Function):
    """The sample itself; backward, the transpose of the triangular system.

    Written in operations that autograd can follow again, for guides refined by gradients.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, logits: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        out = z.clone()
        ctx.save_for_backward(out, logits, loc, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, logits, loc, scale = ctx.saved_tensors
        error = (z.unsqueeze(-2) - loc) / scale  # (..., components, latent)
        log_q = -0.5 * error.square() - scale.log()
        # Weights of the components given the dimensions before each one.
        before = log_q.cumsum(-1) - log_q
        weight = (logits.unsqueeze(-1) + before).softmax(-2)
        below = ndtr(error)
        # From the nearer tail, where the differences would otherwise round to nothing.
        side = torch.where((weight * below).sum(-2, keepdim=True) < 0.5, 1.0, -1.0).to(z.dtype)
        tail = side * ndtr(side * error)
        excess = weight * (tail - (weight * tail).sum(-2, keepdim=True))
        density = weight * (log_q.exp() * (2 * torch.pi) ** -0.5)
        # dS_i/dz_j is the density of i where j = i, and below the diagonal it comes by the weights.
        pull = error / scale
        system = -torch.einsum("...ki,...kj->...ij", excess, pull).tril(-1)
        system = system + torch.diag_embed(density.sum(-2))
        solved = torch.linalg.solve_triangular(
            system.mT, gradients[0].unsqueeze(-1), upper=True
        ).squeeze(-1)
        share = excess * solved.unsqueeze(-2)
        # The mean of component k in dimension i moves S_i itself and the weights of later ones.
        later = share.sum(-1, keepdim=True) - share.cumsum(-1)
        own = density * solved.unsqueeze(-2)
        to_loc = own - later * pull
        to_scale = own * error - later * (error.square() - 1) / scale
        to_logits = -share.sum(-1)
        return (
            None,
            to_logits.sum_to_size(logits.shape),
            to_loc.sum_to_size(loc.shape),
            to_scale.sum_to_size(scale.shape),
        )
