"""Labels: which classes they tell, and whether any."""

from __future__ import annotations

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor
from torch.nn.functional import one_hot
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
    if not whole(label):
        raise ValueError(f"labels are whole numbers, -1 where missing, not {label.dtype}")
    refuse_outside(label, classes, least=MISSING)
    own = label.unsqueeze(-1) == torch.arange(classes, device=label.device)
    return own, (label != MISSING).unsqueeze(-1)


def label_problems(label: Tensor, classes: int) -> list[str]:
    """What is wrong with the labels of a whole data set, one line each.

    >>> label_problems(torch.tensor([-1, -1]), classes=3)
    ['all 2 labels are missing (-1): tell some, or use the clustering program']
    >>> label_problems(torch.tensor([-1, 7]), classes=8)
    []
    """
    try:
        refuse_outside(label, classes, least=MISSING)
    except ValueError as error:
        return [str(error)]
    if bool((label == MISSING).all()):
        return [
            f"all {label.numel()} labels are missing (-1): tell some, or use the clustering program"
        ]
    return []


def one_hot_labels(label: Tensor, classes: int) -> Tensor:
    """Labels ``(n,)``, none missing, as numbers ``(n, classes)``.

    Raises ``ValueError`` for a label outside the classes. (In a compiled step, which cannot look,
    such a label's numbers are nan, and so the loss.)

    >>> one_hot_labels(torch.tensor([2, 0]), classes=3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    outside = refuse_outside(label, classes, least=0)
    hot = one_hot(label.long().clamp(0, classes - 1), classes).to(torch.get_default_dtype())
    return hot.masked_fill(outside[:, None], torch.nan)


def refuse_outside(label: Tensor, classes: int, least: int) -> Tensor:
    """Which labels are below ``least`` or beyond the classes.

    Raises ``ValueError`` where there is one, unless a compiled step is being recorded.

    >>> refuse_outside(torch.tensor([1, 7]), classes=3, least=0)
    Traceback (most recent call last):
    ValueError: label 7 of example 1 is outside the 3 classes 0 to 2: correct or remove it
    """
    outside = (label < least) | (label >= classes)
    if looking() and bool(outside.any()):
        row = tuple(outside.nonzero()[0].tolist())
        missing = " (-1: missing)" if least == MISSING else ""
        raise ValueError(
            f"label {int(label[row])} of example {row[-1]} is outside the {classes} classes 0 to "
            f"{classes - 1}{missing}: correct or remove it"
        )
    return outside


def whole(label: Tensor) -> bool:
    """Whether a tensor is of whole numbers."""
    return not (label.is_floating_point() or label.is_complex() or label.dtype == torch.bool)


def looking() -> bool:
    """Whether values may be read: not while operations are recorded for a compiled step."""
    return _get_current_dispatch_mode() is None


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
