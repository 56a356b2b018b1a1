"""Gradients that are part of a forward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def gradient(function: Callable[[Tensor], Tensor], point: Tensor, through: bool = True) -> Tensor:
    """The gradient of the sum of ``function(point)`` in ``point``, of the shape of ``point``.

    It works under ``torch.no_grad()`` and ``torch.inference_mode()``, too; then, and where
    ``through`` is false, it is a constant. Otherwise autograd can follow it in turn, to ``point``
    and to whatever else the function depends on.

    >>> gradient(lambda z: z**3, torch.tensor([1.0, 2.0]), through=False)
    tensor([ 3., 12.])
    """
    followed = through and torch.is_grad_enabled()
    inside = followed and point.requires_grad
    # Hooks outside may leave out what is saved for backward; here it is needed at once.
    with torch.inference_mode(False), torch.enable_grad(), saved_tensors_hooks(_same, _same):
        here = point if inside else point.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(function(here).sum(), here, create_graph=followed)
    if not inside:
        here.requires_grad_(False)  # it was made for this gradient alone
    return slope if followed else slope.detach()


def _same(tensor: Tensor) -> Tensor:
    return tensor
