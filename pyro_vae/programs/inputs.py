"""What a program is given besides x: checked, and joined to what a network takes."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from .labels import looking, one_hot_labels, whole


def joined(*parts: Tensor) -> Tensor:
    """Vectors end to end, ``(*batch, features)``, whichever leading dimensions each one lacks.

    Values of an enumerated site have dimensions of their own that nothing else has.

    >>> joined(torch.zeros(5, 2), torch.zeros(3, 1, 4)).shape
    torch.Size([3, 5, 6])
    """
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, -1) for part in parts], -1)


def beside(x: Tensor, y: Tensor) -> Tensor:
    """Data x with the context beside them, as a posterior's network takes them.

    Images ``(n, channels, height, width)`` get images of that size as further channels, and
    vectors as so many constant channels. Otherwise both are made vectors and put end to end.

    >>> beside(torch.zeros(5, 1, 28, 28), torch.ones(5, 10)).shape
    torch.Size([5, 11, 28, 28])
    >>> beside(torch.zeros(5, 8, 8), torch.ones(5, 10)).shape
    torch.Size([5, 74])
    """
    if x.dim() == 4 and y.dim() == 2:
        y = y[..., None, None].expand(*y.shape, *x.shape[-2:])
    if x.dim() == 4 and x.shape[2:] == y.shape[2:]:
        return torch.cat([x, y], 1)
    return torch.cat([x.flatten(1), y.flatten(1)], -1)


def with_class(x: Tensor, y: Tensor) -> Tensor:
    """Data x with a class y, ``(*batch, classes)``, beside them, whichever dimensions y leads with.

    Images ``(n, channels, height, width)`` get a constant channel for each class; otherwise x is
    made a vector, and both are put end to end.

    >>> with_class(torch.zeros(5, 1, 28, 28), torch.ones(3, 1, 10)).shape
    torch.Size([3, 5, 11, 28, 28])
    >>> with_class(torch.zeros(5, 8, 8), torch.ones(3, 1, 10)).shape
    torch.Size([3, 5, 74])
    """
    if x.dim() != 4:
        return joined(x.flatten(1), y)
    y = y[..., None, None].expand(*y.shape, *x.shape[-2:])
    batch = torch.broadcast_shapes(x.shape[:-3], y.shape[:-3])
    return torch.cat([part.expand(*batch, *part.shape[-3:]) for part in (x, y)], -3)


def context(y: Tensor, like: Tensor, classes: int | None = None) -> Tensor:
    """The context as numbers: labels one-hot, anything else as it is, in the type of ``like``.

    Args:
        y: ``(n, *event)``; with ``classes``, labels ``(n,)``, whole numbers from 0 on.
        like: x, as long.
        classes: how many, ``None`` for a context that is not a label.

    Raises ``ValueError`` for another length or shape, a label outside the classes or nan. In a
    compiled step, which cannot look, such a label makes the loss nan.

    >>> context(torch.tensor([2, 0]), torch.zeros(2, 5), classes=3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    if y.dim() == 0 or len(y) != len(like):
        raise ValueError(f"the context y has shape {tuple(y.shape)}, but there are {len(like)} x")
    if classes is None:
        if y.dim() == 1:
            what = "labels: say how many, classes=" if whole(y) else "one number each: y[:, None]"
            raise ValueError(f"the context y has shape {tuple(y.shape)}; for {what}")
        if looking() and y.is_floating_point() and bool(y.isnan().any()):
            raise ValueError("the context y contains nan: remove or fill such entries")
        return y.to(like.dtype)
    if y.dim() != 1 or not whole(y):
        raise ValueError(
            f"labels y are whole numbers of shape ({len(like)},), not {y.dtype} {tuple(y.shape)}"
        )
    return one_hot_labels(y, classes).to(like.dtype)


def asks_context(prior: nn.Module) -> bool:
    """Whether a prior is called with the context, ``prior(y)``, or without, ``prior()``.

    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> from pyro_vae.priors import StandardNormal
    >>> asks_context(StandardNormal(2)), asks_context(DiagonalNormal(nn.Linear(3, 4)))
    (False, True)
    """
    parameters = inspect.signature(prior.forward).parameters.values()
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
