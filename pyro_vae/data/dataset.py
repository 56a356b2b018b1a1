"""The one thing that training and evaluation read: three splits and what their values are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

SPLITS = ("train", "valid", "test")
VALUES = ("binary", "grey", "real", "counts")


def dynamic_binarization(x: Tensor) -> Tensor:
    r"""Draw each pixel afresh, b ~ Bernoulli(x), so that no epoch sees the same binary image twice.

    Args:
        x: grey values in [0, 1], of any shape; the draw is made on its device, with torch's
            generator of that device.

    Source: Salakhutdinov and Murray, 2008, "On the quantitative analysis of deep belief networks".

    >>> dynamic_binarization(torch.tensor([[0.0, 1.0]]))
    tensor([[0., 1.]])
    """
    return torch.bernoulli(x)


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Train, validation and test examples, with what is known of them.

    Args:
        name: a short name.
        train: ``(n, *event)``, floating point; likewise `valid` and `test`, with the same event.
        labels: None, or class numbers (int64, one per example) for "train", "valid" and "test".
        values: "binary" (0 or 1), "grey" (in [0, 1]), "real" or "counts".
        source: one line: where the data come from and under which licence.
        truth: for synthetic data, the object that generated them (exact evidence, posterior).
        transform: applied to each training batch, on its device; None leaves it as it is.

    Raises:
        ValueError: a split is empty, events differ, or labels do not match their split.
        TypeError: a split is not a floating-point tensor, or labels are not int64.

    >>> data = Dataset("noise", torch.rand(8, 2, 3), torch.rand(2, 2, 3), torch.rand(2, 2, 3),
    ...                values="grey")
    >>> data.flatten()
    Dataset('noise', grey, train=(8, 6), valid=(2, 6), test=(2, 6))
    >>> data.binarized()
    Dataset('noise', binary, train=(8, 2, 3), valid=(2, 2, 3), test=(2, 2, 3), \
transform=dynamic_binarization)
    """

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor
    labels: dict[str, Tensor] | None = None
    values: str = "real"
    source: str = ""
    truth: object | None = None
    transform: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.values not in VALUES:
            raise ValueError(
                f"{self.name}: values={self.values!r}; choose from {', '.join(VALUES)}"
            )
        for split in SPLITS:
            x = getattr(self, split)
            if not isinstance(x, Tensor) or not x.is_floating_point():
                kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
                raise TypeError(f"{self.name}: {split} is {kind}; give a floating-point tensor")
            if x.dim() < 2 or x.numel() == 0:
                raise ValueError(
                    f"{self.name}: {split} has shape {tuple(x.shape)}; (n, *event) with n >= 1 "
                    "is needed"
                )
            if x.shape[1:] != self.train.shape[1:]:
                raise ValueError(
                    f"{self.name}: {split} has events of shape {tuple(x.shape[1:])} "
                    f"and train of shape {tuple(self.train.shape[1:])}; they must agree"
                )
            self._check_labels(split, len(x))

    def _check_labels(self, split: str, n: int) -> None:
        if self.labels is None:
            return
        if split not in self.labels:
            raise ValueError(f"{self.name}: labels of {split!r} are missing; give all three splits")
        y = self.labels[split]
        if y.dtype != torch.int64:
            raise TypeError(f"{self.name}: labels of {split!r} are {y.dtype}; int64 is needed")
        if y.shape != (n,):
            raise ValueError(
                f"{self.name}: {n} examples in {split!r}, labels of shape {tuple(y.shape)}; "
                f"({n},) is needed"
            )

    @property
    def event_shape(self) -> torch.Size:
        """The shape of one example."""
        return self.train.shape[1:]

    def _map(
        self, data: Callable[[Tensor], Tensor], labels: Callable[[Tensor], Tensor] | None = None
    ) -> Dataset:
        y = self.labels
        if y is not None and labels is not None:
            y = {split: labels(y[split]) for split in SPLITS}
        return replace(
            self, train=data(self.train), valid=data(self.valid), test=data(self.test), labels=y
        )

    def to(self, device: torch.device | str) -> Dataset:
        """The same data, labels (and truth, where it can move) on `device`."""
        moved = self._map(lambda x: x.to(device), lambda y: y.to(device))
        move_truth = getattr(self.truth, "to", None)
        return moved if move_truth is None else replace(moved, truth=move_truth(device))

    def flatten(self) -> Dataset:
        """The same data with each event as one vector: (n, features)."""
        return self._map(lambda x: x.flatten(1))

    def subset(self, n: int, seed: int = 0) -> Dataset:
        """`n` examples of each split, drawn at random (all of a split that has fewer).

        Not the first `n`: some published sets are sorted by class. Those drawn keep their order.

        >>> x = torch.arange(6.0)[:, None]
        >>> Dataset("sorted", x, x, x).subset(3).train.flatten().tolist()
        [2.0, 3.0, 5.0]
        """
        if n < 1:
            raise ValueError(f"{self.name}: subset({n}); at least one example is needed")

        def draw(t: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(seed)
            kept = torch.randperm(len(t), generator=generator)[:n].sort().values
            return t[kept.to(t.device)]

        return self._map(draw, draw)

    def binarized(self, seed: int = 0) -> Dataset:
        """Binary data from grey: train drawn afresh for each batch, the other splits drawn once.

        `train` keeps its grey values and `transform` becomes `dynamic_binarization`. `valid` and
        `test` are drawn here with `seed`, on the CPU, so that reports repeat on every device.
        Binary data are returned as they are.

        Raises:
            ValueError: the values are neither grey nor binary.
        """
        if self.values == "binary":
            return self
        if self.values != "grey":
            raise ValueError(
                f"{self.name}: {self.values} values cannot be binarised; grey values in [0, 1] can "
                "(or choose a likelihood for them, such as Normal)"
            )
        generator = torch.Generator().manual_seed(seed)

        def draw(x: Tensor) -> Tensor:
            return torch.bernoulli(x.cpu(), generator=generator).to(x.device)

        return replace(
            self,
            valid=draw(self.valid),
            test=draw(self.test),
            values="binary",
            transform=dynamic_binarization,
        )

    def __repr__(self) -> str:
        parts = [repr(self.name), self.values]
        parts += [f"{split}={tuple(getattr(self, split).shape)}" for split in SPLITS]
        if self.labels is not None:
            parts.append("labels")
        if self.truth is not None:
            parts.append(f"truth={type(self.truth).__name__}")
        if self.transform is not None:
            parts.append(f"transform={getattr(self.transform, '__name__', self.transform)}")
        return f"Dataset({', '.join(parts)})"
