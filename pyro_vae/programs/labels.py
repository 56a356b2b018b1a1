"""Labels of which some are missing."""

from __future__ import annotations

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

#: What stands for a label that nobody has told.
MISSING = -1


def indicators(label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Which class each label tells ``(*batch, classes)``, and whether it tells any ``(*batch, 1)``.

    Args:
        label: whole numbers ``(*batch,)``: 0 to ``classes - 1``, or -1 where missing.
        classes: how many.

    Raises ``ValueError`` for any other number or type. (In a compiled step, which cannot look, a
    label outside the classes makes the loss nan.)

    >>> told = indicators(torch.tensor([2, -1]), classes=3)
    >>> told[0].int().tolist(), told[1].tolist()
    ([[0, 0, 1], [0, 0, 0]], [[True], [False]])
    """
    if label.is_floating_point() or label.is_complex() or label.dtype == torch.bool:
        raise ValueError(f"labels are whole numbers, -1 where missing, not {label.dtype}")
    looking = _get_current_dispatch_mode() is None  # no compiled step is being recorded
    outside = (label < MISSING) | (label >= classes)
    if looking and bool(outside.any()):
        raise ValueError(_outside(label, outside, classes))
    own = label.unsqueeze(-1) == torch.arange(classes, device=label.device)
    return own, (label != MISSING).unsqueeze(-1)


def label_problems(label: Tensor, classes: int) -> list[str]:
    """What is wrong with the labels of a whole data set, one line each.

    >>> label_problems(torch.tensor([-1, -1]), classes=3)
    ['all 2 labels are missing (-1): tell some, or use the clustering program']
    >>> label_problems(torch.tensor([-1, 7]), classes=3)
    ['label 7 of example 1 is outside the 3 classes 0 to 2 (-1: missing): correct or remove it']
    """
    outside = (label < MISSING) | (label >= classes)
    if bool(outside.any()):
        return [_outside(label, outside, classes)]
    if bool((label == MISSING).all()):
        return [
            f"all {label.numel()} labels are missing (-1): tell some, or use the clustering program"
        ]
    return []


def _outside(label: Tensor, outside: Tensor, classes: int) -> str:
    row = tuple(outside.nonzero()[0].tolist())
    return (
        f"label {int(label[row])} of example {row[-1]} is outside the {classes} classes 0 to "
        f"{classes - 1} (-1: missing): correct or remove it"
    )


class Label(dist.TorchDistribution):
    r"""What one is told of a class y: the class, or nothing.

    .. math:: p(\text{label}|y) = [\text{label} = y], \qquad 1 \text{ where it is missing}

    Which labels are missing is no part of the model: it must not depend on what they would be.

    Args:
        y: one-hot, ``(*batch, classes)``.

    >>> y = torch.eye(3)
    >>> Label(y).log_prob(torch.tensor([0, 0, -1]))
    tensor([0., -inf, 0.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, y: Tensor, validate_args: bool | None = None) -> None:
        self.y = y
        super().__init__(y.shape[:-1], torch.Size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(MISSING, self.y.shape[-1] - 1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Label:
        return Label(self.y.expand(*batch_shape, -1), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        own, told = indicators(value, self.y.shape[-1])
        agrees = ((self.y > 0) & own).any(-1) | ~told.squeeze(-1)
        return torch.zeros_like(agrees, dtype=self.y.dtype).masked_fill(~agrees, -torch.inf)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The class itself."""
        return self.y.argmax(-1).expand(*sample_shape, *self.batch_shape)


def joined(*parts: Tensor) -> Tensor:
    """Vectors end to end, ``(*batch, features)``, whichever leading dimensions each one lacks.

    Values of an enumerated site have dimensions of their own that nothing else has.

    >>> joined(torch.zeros(5, 2), torch.zeros(3, 1, 4)).shape
    torch.Size([3, 5, 6])
    """
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, -1) for part in parts], -1)
